"""Clips that pass a network side by side: on a CPU, threads share whole clips better than the small steps of one."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import torch

TOGETHER = 2
"""Clips at once. Each takes memory of its own; the threads are divided among them."""

_Made = TypeVar("_Made")


@torch.no_grad()
def side_by_side(work: Callable[[int], _Made], count: int, device: torch.device) -> list[_Made]:
    """[work(0), …, work(count - 1)], computed without gradients, on a CPU some of them at the same time.

    A step of a network that threads divide ends when the slowest is done, and much of it, such as joining tensors, is
    not divided at all. Clips need nothing of each other, so each thread takes its own. What is left over, and
    everything on other devices or with a single thread, is computed one after the other. Results differ from that by
    the rounding of other sums, and do not depend on which clip is done first.

    Args:
        work: computes one result from its index, and enters the contexts it needs (autocast) by itself.
        count: how many.
        device: where the networks are.
    """
    threads = torch.get_num_threads()
    paired = count - count % TOGETHER if device.type == "cpu" and threads >= TOGETHER else 0
    if paired == 0:
        return [work(index) for index in range(count)]

    def alone(index: int) -> _Made:
        with torch.no_grad():  # a thread begins with gradients
            return work(index)

    pool = ThreadPoolExecutor(
        TOGETHER, "lyra-clips", initializer=torch.set_num_threads, initargs=(threads // TOGETHER,)
    )
    try:
        made = list(pool.map(alone, range(paired)))
    finally:
        pool.shutdown(cancel_futures=True)
        torch.set_num_threads(threads)  # in part the setting of a thread is that of the process
    return made + [work(index) for index in range(paired, count)]
