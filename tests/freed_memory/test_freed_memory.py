"""Freed memory is kept, or leaves the process, where the allocator is glibc's."""

import ctypes
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from lyra.freed_memory import return_freed_memory

FAULTS = """
import resource, torch, sys
from lyra.freed_memory import keep_freed_memory
if sys.argv[1] == "keep":
    assert keep_freed_memory()
for _ in range(20):  # tensors are aligned: some pass before one fits where the one before it was
    torch.zeros(16 * 2**20)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.zeros(16 * 2**20)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


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


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another allocator")
def test_a_block_of_64_mib_that_was_freed_is_used_again():
    """Without, each of 20 blocks is filled by the system anew: page faults by the thousand."""
    given, kept = (
        int(subprocess.run([sys.executable, "-c", FAULTS, how], capture_output=True, text=True, check=True).stdout)
        for how in ("give", "keep")
    )
    assert kept < 0.2 * given
