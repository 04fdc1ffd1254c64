"""The processes that train one network together: who this one is, and what all must do alike."""

import atexit
import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from threading import current_thread, main_thread
from types import FrameType

import torch
import torch.distributed as dist
from accelerate import Accelerator

from lyra.structures import InputError


def rank_and_size() -> tuple[int, int]:
    """Number of this process and count of all, as ``torchrun`` and ``accelerate launch`` announce them."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def training_device(name: str) -> torch.device:
    """The device of this process: ``auto`` and ``cuda`` mean the GPU with its local number.

    Raises:
        InputError: one GPU is named for several processes.
    """
    _, size = rank_and_size()
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "cpu"
    device = torch.device(name)
    if device.type != "cuda":
        return device
    if size > 1:
        if device.index is not None:
            raise InputError(f"device {name} is one GPU for {size} processes; use --device cuda, each takes its own")
        device = torch.device("cuda", int(os.environ.get("LOCAL_RANK", "0")))
    torch.cuda.set_device(device.index or 0)
    return device


def start_accelerator(device: torch.device) -> Accelerator:
    """Join the other processes: bfloat16 autocast on a GPU, float32 and gloo on the CPU."""
    on_gpu = device.type == "cuda"
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no", cpu=not on_gpu)
    if accelerator.num_processes > 1:
        atexit.register(_leave)
    return accelerator


def _leave() -> None:
    """Part from the other processes before the interpreter goes: threads of gloo that outlive it abort the process."""
    if dist.is_initialized():
        dist.destroy_process_group()


class Agreement:
    """Numbers of process 0 that all processes go by; they travel over the CPU, so that no device is waited for."""

    def __init__(self) -> None:
        _, self.size = rank_and_size()
        self.group = None
        if self.size > 1:
            self.group = dist.new_group(backend="gloo", timeout=timedelta(minutes=30))

    def on(self, *numbers: float) -> list[float]:
        """What process 0 gave."""
        if self.size == 1:
            return list(numbers)
        values = torch.tensor(numbers, dtype=torch.float64)
        dist.broadcast(values, 0, group=self.group)
        return list(values.tolist())

    def any(self, claim: bool) -> bool:
        """Whether any process claims it."""
        if self.size == 1:
            return claim
        value = torch.tensor(int(claim))
        dist.all_reduce(value, dist.ReduceOp.MAX, group=self.group)
        return bool(value)

    def wait(self) -> None:
        """Until all processes are here."""
        self.on(0.0)


class StopRequest:
    """Whether somebody asked the run to end; a second Ctrl-C does not wait for the step."""

    def __init__(self) -> None:
        self.asked = False

    def _ask(self, number: int, _: FrameType | None) -> None:
        if self.asked and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.asked = True

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Take Ctrl-C and SIGTERM as requests, where signals can be taken: in the main thread."""
        if current_thread() is not main_thread():
            yield
            return
        before = {number: signal.signal(number, self._ask) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
