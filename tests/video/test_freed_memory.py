"""What was freed leaves the process, where the allocator is glibc's."""

import ctypes
import platform
from pathlib import Path

import pytest

from lyra.video.freed_memory import return_freed_memory


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc's allocator")
def test_freed_blocks_below_a_held_one_go_back() -> None:
    libc = ctypes.CDLL(None)
    libc.malloc.restype, libc.free.argtypes = ctypes.c_void_p, [ctypes.c_void_p]
    blocks = [libc.malloc(100_000) for _ in range(2000)]  # below the size that is mapped by itself
    for block in blocks:
        ctypes.memset(block, 1, 100_000)
    for block in blocks[:-1]:  # the last one holds the top of the heap
        libc.free(block)
    before = _resident()
    assert return_freed_memory()
    assert before - _resident() > 150_000_000
    libc.free(blocks[-1])
