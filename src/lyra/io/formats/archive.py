"""Zip archives from strangers: opened only if their table of contents is small, unpacked as far as they declare."""

import struct
import zipfile
import zlib
from pathlib import Path

from lyra.structures import InputError

_LARGEST_DIRECTORY = 1 << 16
_END, _END_SIZE = b"PK\x05\x06", 22
_LONGEST_COMMENT = (1 << 16) - 1
_LOCATOR, _LOCATOR_SIZE = b"PK\x06\x07", 20
_LONG_END, _LONG_END_SIZE = b"PK\x06\x06", 56
_METHODS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
_DAMAGE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    OSError,
    EOFError,
    NotImplementedError,  # what zipfile raises for a compression or a version that it does not know
    RuntimeError,
    ValueError,
)


def open_archive(path: Path, what: str) -> zipfile.ZipFile:
    """Open a zip archive for reading.

    The standard library makes an object of every entry, some ten times the bytes that the entry takes in the file, so
    the size of the table of contents is looked up before.

    Args:
        path: the file.
        what: what messages call it.

    Raises:
        InputError: damaged, or with a table of contents beyond 64 KiB.
    """
    try:
        if _directory_size(path) > _LARGEST_DIRECTORY:
            raise InputError(f"{what} {path} is an archive of too many entries for a scene; export it again")
        return zipfile.ZipFile(path)
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} {path} is a damaged archive; fetch or export it again") from error


def read_entry(archive: zipfile.ZipFile, name: str, limit: int, path: Path, what: str) -> bytes:
    """One entry, unpacked.

    Args:
        archive: from `open_archive`.
        name: of the entry.
        limit: bytes that it may have.
        path, what: the file, and what messages call it.

    Raises:
        InputError: there is no such entry; it is damaged; it declares or turns out to hold more than ``limit``.
    """
    try:
        entry = archive.getinfo(name)
    except KeyError as error:
        raise InputError(f"{what} {path} lacks {name}; export it again") from error
    if entry.file_size > limit:
        raise InputError(f"{what} {path}: {name} is larger than it can honestly be; export it again")
    damaged = InputError(f"{what} {path}: {name} is damaged; fetch or export it again")
    if entry.compress_type not in _METHODS:
        raise damaged
    try:
        with archive.open(entry) as stream:
            content = stream.read(limit + 1)
    except _DAMAGE as error:
        raise damaged from error
    if len(content) != entry.file_size:
        raise damaged
    return content


def _directory_size(path: Path) -> int:
    """Bytes of the table of contents, as the record at the end of the archive says."""
    with path.open("rb") as file:
        file.seek(max(0, path.stat().st_size - _END_SIZE - _LONGEST_COMMENT - _LOCATOR_SIZE - _LONG_END_SIZE))
        tail = file.read()
    place = tail.rfind(_END)
    if place < 0 or len(tail) < place + _END_SIZE:
        raise zipfile.BadZipFile
    if tail[max(0, place - _LOCATOR_SIZE) : place].startswith(_LOCATOR):
        long_end = tail[max(0, place - _LOCATOR_SIZE - _LONG_END_SIZE) : place - _LOCATOR_SIZE]
        if not long_end.startswith(_LONG_END):
            raise zipfile.BadZipFile
        return int.from_bytes(long_end[40:48], "little")
    return int.from_bytes(tail[place + 12 : place + 16], "little")
