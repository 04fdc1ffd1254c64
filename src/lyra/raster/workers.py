"""A few threads that run kernels side by side.

The number of threads is torch's (``torch.set_num_threads``, ``OMP_NUM_THREADS``): one setting for both.
Kernels release the interpreter lock, so plain Python threads suffice. Any number of callers may render at once.
"""

import os
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import torch

_IMPORTED_IN = os.getpid()
_lock = threading.Lock()
_pool: ThreadPoolExecutor | None = None
_pool_size = 0


def _after_fork_in_child() -> None:
    # The child inherits the pool but none of its threads, and perhaps the lock in the middle of somebody's use.
    global _lock, _pool, _pool_size
    _lock, _pool, _pool_size = threading.Lock(), None, 0


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


def worker_count() -> int:
    """Threads to use now; 1 in a forked child, where torch's own OpenMP team did not survive either."""
    if os.getpid() != _IMPORTED_IN:
        torch.set_num_threads(1)
        return 1
    return torch.get_num_threads()


def run_ranges(work: Callable[[int, int], object], total: int, workers: int, parts_per_worker: int = 4) -> None:
    """Call ``work(start, end)`` on ranges that cover 0…total, on up to ``workers`` threads; returns when all are done.

    The split never changes what is computed for one index, so results do not depend on the number of threads.
    An exception in ``work`` is raised here.
    """
    global _pool, _pool_size
    if workers <= 1 or total <= 1:
        work(0, total)
        return
    parts = min(total, workers * parts_per_worker)
    bounds = [total * k // parts for k in range(parts + 1)]
    with _lock:
        if _pool is None or _pool_size < workers:
            _pool, _pool_size = ThreadPoolExecutor(workers, thread_name_prefix="lyra-raster"), workers
        futures = [_pool.submit(work, bounds[k], bounds[k + 1]) for k in range(parts)]
    for future in futures:
        future.result()
