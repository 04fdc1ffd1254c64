"""What becomes of memory that was freed, where the allocator is glibc's: kept for the next tensor, or given back."""

import ctypes
import os
import platform

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MOST = 2**31 - 1


def keep_freed_memory() -> bool:
    """Let the allocator of glibc keep what is freed for the next tensor, and say whether it does.

    By default it hands large blocks back to the system, which fills the next one with zeros page by page: some seconds
    of a scene. Elsewhere nothing changes.
    """
    if not _is_glibc() or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    choices = ((_M_MMAP_THRESHOLD, _MOST), (_M_TRIM_THRESHOLD, _MOST), (_M_ARENA_MAX, 1))  # threads share what is kept
    return all([bool(set_option(*choice)) for choice in choices])


def return_freed_memory() -> bool:
    """Let the allocator of glibc give back what it keeps of freed memory, and say whether it was asked to.

    It keeps some for every thread that computed, in pieces that later tensors do not fit, so that work that goes on and
    on would need more and more. Elsewhere nothing happens.
    """
    if not _is_glibc():
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"
