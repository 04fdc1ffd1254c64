"""Which exceptions are the user's to mend, and the one line that says how."""

import errno
import os
import sys
from typing import NamedTuple

WRONG_INPUT = 2
OUT_OF_MEMORY = 1
INTERRUPTED = 130

_REMEDIES = {
    errno.ENOSPC: "no space left on the device; free some, or write elsewhere",
    errno.EDQUOT: "your disk quota is used up; free some, or write elsewhere",
    errno.EACCES: "permission denied; choose a place you may write to",
    errno.EPERM: "the system does not permit this; choose another place",
    errno.EROFS: "the file system is read-only; choose another place",
    errno.EFBIG: "the file would be larger than the system allows; write elsewhere",
}


class Line(NamedTuple):
    """What standard error and the calling shell are told."""

    text: str
    code: int


def one_line(fault: Exception) -> Line | None:
    """The line for standard error and the exit code, or ``None`` if the fault is ours and deserves its traceback."""
    if isinstance(fault, OSError):
        if fault.errno not in _REMEDIES:
            return None
        return Line(_flat(f"{_subject(fault)}{_REMEDIES[fault.errno]}"), WRONG_INPUT)
    if isinstance(fault, MemoryError) or _is_device_memory(fault):
        detail = _flat(str(fault)) or "no detail"
        return Line(f"out of memory ({detail}); close other programs or use --device cpu", OUT_OF_MEMORY)
    if isinstance(fault, ValueError):
        from lyra.structures import InputError

        if isinstance(fault, InputError):
            return Line(_flat(str(fault)), WRONG_INPUT)
    return None


def leave_quietly() -> None:
    """Nobody reads our output any more (``lyra … | head``): let the rest of it vanish without a complaint."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _subject(fault: OSError) -> str:
    name = fault.filename if fault.filename is not None else fault.filename2
    return f"{os.fsdecode(name)}: " if isinstance(name, str | bytes | os.PathLike) else ""


def _is_device_memory(fault: Exception) -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(fault, torch.OutOfMemoryError)


def _flat(text: str) -> str:
    return " ".join(text.split())
