"""Checks before reading and atomic replacement when writing, shared by every format."""

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lyra.structures import InputError


def require_file(path: Path | str, what: str) -> Path:
    """The path, if it is a readable, non-empty file.

    Args:
        path: what the user gave.
        what: what the message calls it, such as ``photo``.

    Raises:
        InputError: it does not exist, is a folder or special file, is empty, or may not be read.
    """
    path = Path(path)
    try:
        if path.is_dir():
            raise InputError(f"{what} {path} is a folder; give the path of one file")
        if not path.exists():
            raise InputError(f"{what} {path} does not exist; check the path")
        if not path.is_file():
            raise InputError(f"{what} {path} is not a regular file; copy it to disk first")
        if path.stat().st_size == 0:
            raise InputError(f"{what} {path} is empty; fetch or export it again")
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{what} {path} cannot be reached ({reason(error)}); check path and permissions") from error
    if not os.access(path, os.R_OK):
        raise InputError(f"{what} {path} may not be read; change its permissions")
    return path


@contextmanager
def replacing(path: Path | str, what: str) -> Iterator[Path]:
    """Write a file beside its target and move it there once it is complete.

    Yields:
        a temporary path with the suffix of the target; it is removed on any exception, KeyboardInterrupt included.

    Raises:
        InputError: the target is a folder, or its folder cannot be made or written.
    """
    path = Path(path)
    if path.is_dir():
        raise InputError(f"cannot write {what} {path}: a folder of that name exists; choose another name")
    temporary = path.with_name(f".{path.stem}.{secrets.token_hex(4)}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            yield temporary
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"cannot write {what} {path} ({reason(error)}); choose another place") from error


def reason(error: BaseException) -> str:
    """The operating system's words for an error, for use inside a sentence."""
    words = getattr(error, "strerror", None) or str(error) or type(error).__name__
    return words.splitlines()[0].lower()
