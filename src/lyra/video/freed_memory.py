"""Memory that was freed goes back to the system between two chunks."""

import ctypes
import platform


def return_freed_memory() -> bool:
    """Let the allocator of glibc give back what it keeps of freed memory, and say whether it was asked to.

    It keeps some for every thread that computed, in pieces that the next chunk's tensors do not fit, so that a long
    video would need more from chunk to chunk. Elsewhere nothing happens.
    """
    if platform.libc_ver()[0] != "glibc":
        return False
    ctypes.CDLL(None).malloc_trim(0)
    return True
