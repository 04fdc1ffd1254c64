"""How a process waits for its threads, which is said before torch loads, and what it does with freed memory."""

import ctypes
import os
import platform
from collections.abc import MutableMapping

SPINS = 20_000
"""Turns that an idle thread of GNU OpenMP waits awake, a fraction of a millisecond. Small operations follow each other
faster than that; asleep, a thread would be woken for each of them."""

_M_TRIM_THRESHOLD, _M_MMAP_THRESHOLD, _M_ARENA_MAX = -1, -3, -8
_MOST = 2**31 - 1


def wait_briefly(environment: MutableMapping[str, str]) -> None:
    """Let OpenMP's threads sleep when there is nothing to do for a while; what the user has set stays.

    On a busy machine they would burn a core each while they wait.
    """
    if "OMP_WAIT_POLICY" not in environment:
        environment["OMP_WAIT_POLICY"] = "PASSIVE"
        environment.setdefault("GOMP_SPINCOUNT", str(SPINS))


def keep_freed_memory() -> bool:
    """Let the allocator of glibc keep what is freed for the next tensor, and say whether it does.

    By default it hands large blocks back to the system, which fills the next one with zeros page by page: some seconds
    of a scene. Elsewhere nothing changes.
    """
    if platform.libc_ver()[0] != "glibc" or any(name.startswith("MALLOC_") for name in os.environ):
        return False
    set_option = getattr(ctypes.CDLL(None), "mallopt", None)
    if set_option is None:
        return False
    choices = ((_M_MMAP_THRESHOLD, _MOST), (_M_TRIM_THRESHOLD, _MOST), (_M_ARENA_MAX, 1))  # threads share what is kept
    return all([bool(set_option(*choice)) for choice in choices])
