"""The bytes of a shard: records one after the other in a tar file that only ever grows.

A record is there exactly when its last member is there completely, so whatever a killed writer leaves behind its last
complete record is simply not read.
"""

import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lyra.data.corrupt import CorruptRecordError
from lyra.data.record_codec import LAST_MEMBER, check_members

_BLOCK = tarfile.BLOCKSIZE
END_OF_ARCHIVE = bytes(2 * _BLOCK)


@dataclass(frozen=True)
class Entry:
    """Where one record lies in its shard: its key, and the offset and size in bytes of its members with headers."""

    key: str
    offset: int
    size: int


def tar_bytes(key: str, members: Mapping[str, bytes]) -> bytes:
    """The members as consecutive files ``key.extension`` of a tar archive; the same members give the same bytes."""
    parts = []
    for extension, content in members.items():
        header = tarfile.TarInfo(f"{key}.{extension}")
        header.size = len(content)
        parts += [header.tobuf(tarfile.USTAR_FORMAT), content, bytes(-len(content) % _BLOCK)]
    return b"".join(parts)


def scan(path: Path) -> tuple[Entry, ...]:
    """The complete records of a shard that has no index; a growing one may be scanned at any time.

    The last record's checksums are verified: its writer may have been killed in the middle, and after a power failure
    its end may have reached the disk before its middle.
    """
    entries: list[Entry] = []
    with path.open("rb") as file:
        start = position = 0
        current = ""
        while header := _header(file.read(_BLOCK)):
            key, _, extension = header.name.partition(".")
            if key != current:
                current, start = key, position
            position += _BLOCK + header.size + -header.size % _BLOCK
            file.seek(position)
            if extension == LAST_MEMBER:
                entries.append(Entry(key, start, position - start))
                current = ""
    if entries:
        try:
            check_members(entries[-1].key, read_members(path, entries[-1]), str(path))
        except CorruptRecordError:
            entries.pop()
    return tuple(entries)


def read_members(path: Path, entry: Entry) -> dict[str, bytes]:
    """Content by extension of one record.

    Raises:
        CorruptRecordError: the bytes there are not this record's.
        OSError: the shard cannot be read.
    """
    with path.open("rb") as file:
        file.seek(entry.offset)
        content = file.read(entry.size)
    members = {}
    try:
        with tarfile.open(fileobj=io.BytesIO(content + END_OF_ARCHIVE), mode="r:") as archive:
            for member in archive:
                key, _, extension = member.name.partition(".")
                stream = archive.extractfile(member)
                if key == entry.key and stream is not None:
                    members[extension] = stream.read()
    except (tarfile.TarError, ValueError, OSError) as error:
        raise CorruptRecordError(
            f"{path}: record {entry.key} is damaged ({error}); restore the file from a copy"
        ) from error
    return members


def sha256_of(path: Path) -> str:
    """Checksum of a whole file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _header(block: bytes) -> tarfile.TarInfo | None:
    try:
        return tarfile.TarInfo.frombuf(block, "utf-8", "strict")
    except (tarfile.HeaderError, ValueError):  # zeros of the end, a torn write, or the end of the file
        return None
