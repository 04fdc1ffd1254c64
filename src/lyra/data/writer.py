"""Writing a store: every writer grows a shard of its own, and finished shards are sealed with an index.

No writer touches another's shard, so any number of processes and machines may write one store without a lock. A lock
is taken only to tell the shard of a running writer from one that a killed writer left behind.
"""

import errno
import fcntl
import os
import re
import secrets
import socket
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Literal, Self

from lyra.data.index import GROWING, INDEX, SHARD, ShardIndex
from lyra.data.record_codec import pack_record
from lyra.data.shard import END_OF_ARCHIVE, Entry, scan, sha256_of, tar_bytes
from lyra.io.files import reason
from lyra.structures import InputError, SceneRecord

SHARD_BYTES = 512 * 2**20
"""A shard that has grown to this size is sealed."""


class RecordWriter:
    """Appends records to one store; use as a context manager, or leave the sealing to `seal_abandoned`.

    A record that ``append`` has returned for is on the disk and stays there, whatever happens to the process. A record
    that was cut short does not exist.

    Args:
        folder: the store.
        shard_bytes: size at which a shard is sealed.
    """

    def __init__(self, folder: Path, shard_bytes: int = SHARD_BYTES) -> None:
        self.folder, self.shard_bytes = folder, shard_bytes
        self.name = f"{_host()}-{os.getpid()}-{secrets.token_hex(3)}"
        self._count = 0
        self._descriptor: int | None = None
        self._path = folder
        self._size = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if kind is None:
            self.close()
            return
        try:
            self.close()
        except InputError:  # what went wrong first is told; the shard is valid as it is
            self._release()

    def append(self, record: SceneRecord, rgb: bool = True) -> int:
        """Add a record and wait until it is on the disk.

        Returns:
            Its size in the shard, bytes.

        Raises:
            InputError: it cannot be written; the shard then ends with the record before.
        """
        content = tar_bytes(record.key, pack_record(record, rgb))
        try:
            if self._descriptor is None:
                self._open()
            assert self._descriptor is not None
            try:
                _write(self._descriptor, content)
                os.fsync(self._descriptor)
            except OSError:
                os.ftruncate(self._descriptor, self._size)
                os.lseek(self._descriptor, self._size, os.SEEK_SET)
                raise
        except OSError as error:
            raise InputError(
                f"store {self.folder}: record {record.key} cannot be written ({reason(error)}); make room and give the "
                "same command again, finished records are safe"
            ) from error
        self._size += len(content)
        if self._size >= self.shard_bytes:
            self.close()
        return len(content)

    def close(self) -> None:
        """Seal the shard; the next record begins another one."""
        if self._descriptor is not None:
            _seal(self._path)
            self._release()

    def _open(self) -> None:
        while self._descriptor is None:
            path = self.folder / f"{self.name}-{self._count:04d}{GROWING}"
            self._count += 1
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644)
            if _lock(descriptor) == "held" or os.fstat(descriptor).st_nlink == 0:
                os.close(descriptor)  # somebody took the empty file for an abandoned one and tidies it away
                continue
            self._descriptor, self._path, self._size = descriptor, path, 0
            _sync(self.folder)

    def _release(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def seal_abandoned(folder: Path) -> None:
    """Seal the shards that writers on this computer left behind, and give finished shards without an index one.

    Shards of writers that run, or ran on another computer, are left as they are; readers read them all the same.

    Raises:
        InputError: the store cannot be written.
    """
    try:
        for path in sorted(folder.glob(f"*{GROWING}")):
            if re.fullmatch(rf"{re.escape(_host())}-\d+-[0-9a-f]+-\d+", path.name.removesuffix(GROWING)):
                _seal_if_abandoned(path)
        for path in sorted(folder.glob(f"*{SHARD}")):
            if not path.with_name(path.name.removesuffix(SHARD) + INDEX).exists():
                _write_index(path, scan(path))
    except OSError as error:
        raise InputError(
            f"store {folder} cannot be written ({reason(error)}); make room or change permissions"
        ) from error


def seal_when_left(folder: Path, writers: Collection[str], patience: float = 20.0) -> None:
    """`seal_abandoned`, again and again until the shards of these writers on this computer are finished.

    Args:
        folder: the store.
        writers: `RecordWriter.name` of writers whose processes are about to end.
        patience: seconds after which it is left at that.
    """
    deadline = time.monotonic() + patience
    while True:
        seal_abandoned(folder)
        left = [path for path in folder.glob(f"{_host()}-*{GROWING}") if path.name.startswith(tuple(writers))]
        if not left or time.monotonic() > deadline:
            return
        time.sleep(0.1)


def _seal_if_abandoned(path: Path) -> None:
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:  # somebody else tidied up
        return
    try:
        # where the lock is free its writer has ended; if it did so in the last moment, it sealed the shard itself
        if _lock(descriptor) == "taken" and path.exists():
            _seal(path)
    finally:
        os.close(descriptor)


def _seal(path: Path) -> None:
    """Cut a growing shard after its last complete record, end it as a tar file, index and rename it.

    Every step may be the last one: the next call begins anew and comes to the same end.
    """
    try:
        entries = scan(path)
        if not entries:
            path.unlink(missing_ok=True)
            return
        descriptor = os.open(path, os.O_RDWR)
        try:
            size = entries[-1].offset + entries[-1].size
            os.ftruncate(descriptor, size)
            os.lseek(descriptor, size, os.SEEK_SET)
            _write(descriptor, END_OF_ARCHIVE)
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        finished = path.with_name(path.name.removesuffix(GROWING) + SHARD)
        _write_index(path, entries, finished)
        os.replace(path, finished)
        _sync(finished.parent)
    except OSError as error:
        raise InputError(
            f"shard {path} cannot be finished ({reason(error)}); make room, its records are safe"
        ) from error


def _write_index(path: Path, entries: tuple[Entry, ...], finished: Path | None = None) -> None:
    name = (finished or path).name.removesuffix(SHARD)
    ShardIndex(name, entries, path.stat().st_size, sha256_of(path)).write(path.parent)


def _write(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]


def _sync(folder: Path) -> None:
    """Make the names in a folder outlive a power failure, where the file system lets us."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _lock(descriptor: int) -> Literal["taken", "held", "unknown"]:
    """Try to lock a shard; where the file system has no locks nothing is known, and nothing is tidied up."""
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return "held"
    except OSError as error:
        if error.errno not in (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL):
            raise
        return "unknown"
    return "taken"


def _host() -> str:
    return re.sub(r"[^A-Za-z0-9]+", "", socket.gethostname().partition(".")[0])[:24] or "host"
