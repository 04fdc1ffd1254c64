"""Times of stages, and the memory they took."""

import resource
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch

from lyra.results import Progress, StageReport


@dataclass
class Clock:
    """Times stages and tells the caller about each."""

    tell: Progress
    device: torch.device
    done: list[StageReport] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        self.tell(StageReport(name))
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        report = StageReport(name, round(time.perf_counter() - start, 2), round(peak_memory_mib(), 1), detail)
        self.done.append(report)
        self.tell(report)


def peak_memory_mib() -> float:
    """Peak resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)
