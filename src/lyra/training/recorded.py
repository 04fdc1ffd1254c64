"""Calls of a network on a GPU, recorded once for each shape and from then on replayed.

A small network is a few thousand short kernels a step, and launching them one by one from Python takes longer than
running them. A CUDA graph launches all of them at once, forward and backward.
"""

import gc
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call

from lyra.training.options import TrainOptions
from lyra.training.processes import rank_and_size


def records_calls(options: TrainOptions, device: torch.device) -> bool:
    """Whether a run can replay its network: on one GPU, one batch a step, and nothing else replaces its calls."""
    replaced = options.eager or options.compile or options.shard or options.checkpoint_activations
    return device.type == "cuda" and rank_and_size()[1] == 1 and options.accumulate == 1 and not replaced


class RecordedCalls:
    """A module that is recorded at its first call with tensors of certain shapes and replayed at all later ones.

    The module must do the same kernels whatever the numbers are, and draw nothing at random. What a call returns, and
    the gradients it leaves, are overwritten by the next call with the same shapes: a step makes one of each kind, or
    says where it begins (`step`). Gradients must be ``None`` when a backward pass begins.

    Where recording fails, a warning says so once, and from then on the kernels are launched one by one.

    Args:
        module: from tensors, some of which may be ``None``, to a tensor or a tuple of tensors.

    Attributes:
        failed: nothing is recorded any more.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._recorded: dict[tuple[Any, ...], Callable[..., Any]] = {}
        self._pools: list[Any] = []
        self._place: int | None = None
        self.failed = False

    def __call__(self, *tensors: Tensor | None) -> Any:
        """Call the module."""
        if self.failed:
            return self._module(*tensors)
        kinds = tuple(None if x is None else (x.shape, x.dtype, x.requires_grad) for x in tensors)
        key = (self._place, torch.is_autocast_enabled("cuda"), torch.get_autocast_dtype("cuda"), *kinds)
        if key not in self._recorded:
            reason = ""
            try:
                self._recorded[key] = self._record(tensors)
            except Exception as fault:  # of whatever kind: the run can go on without
                reason = f"{type(fault).__name__}: {str(fault).splitlines()[0] if str(fault) else 'no reason given'}"
            if reason:
                self.failed = True
                self.forget()
                warnings.warn(
                    f"a call could not be recorded ({reason}); its kernels are launched one by one, which is slower",
                    RuntimeWarning,
                    stacklevel=2,
                )
                return self._module(*tensors)
        if self._place is not None:
            self._place += 1
        return self._recorded[key](*(x for x in tensors if x is not None))

    @contextmanager
    def step(self) -> Iterator[None]:
        """Inside, calls are those of one step, whose backward pass is over before the next step begins.

        They are told apart by their place in the step, so that they may have the same shapes. Calls at the same place
        of different steps share the memory they work in.
        """
        self._place = 0
        try:
            yield
        finally:
            self._place = None

    def forget(self) -> None:
        """Let go of all records and their memory."""
        self._recorded.clear()
        self._pools.clear()
        gc.collect()

    def _pool(self) -> Any:
        """Memory for a call at the present place."""
        if self._place is None:
            return _new_pool()
        while len(self._pools) <= self._place:
            self._pools.append(_new_pool())
        return self._pools[self._place]

    def _record(self, tensors: tuple[Tensor | None, ...]) -> Callable[..., Any]:
        """Run the module on copies of the tensors until it is warm, then record it with its backward pass.

        The weights are recorded as leaves of their own that share their memory: the real ones may belong to a graph
        whose backward pass is still to come and which ties them to the stream that does not record.
        """
        if not self._recorded:
            gc.collect()  # records of a network that is gone hold themselves, and memory, in cycles
        module, weights = self._module, dict(self._module.named_parameters())
        given = tuple(x is not None for x in tensors)
        dtype, rounded = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")

        def call(*values: Tensor) -> Any:
            rest = iter(values)
            arguments = tuple(next(rest) if there else None for there in given)
            leaves = dict(zip(weights, rest, strict=True))
            # weights that were rounded before would stay as they are in the record
            with torch.autocast("cuda", dtype=dtype, enabled=rounded, cache_enabled=False):
                torch.clear_autocast_cache()
                result = functional_call(module, leaves, arguments)
                torch.clear_autocast_cache()
            return result

        copies = [x.detach().clone().requires_grad_(x.requires_grad) for x in tensors if x is not None]
        leaves = [weight.detach().requires_grad_(weight.requires_grad) for weight in weights.values()]
        pool = self._pool()
        # the backward pass is recorded without autocast, as the loop runs it
        with _undoing(pool), torch.autocast("cuda", enabled=False):
            replay = torch.cuda.make_graphed_callables(call, (*copies, *leaves), allow_unused_input=True, pool=pool)
        return lambda *present: replay(*present, *weights.values())


def _new_pool() -> Any:
    """Memory for recorded calls that are never at work at the same time."""
    return torch.cuda.graph_pool_handle()


@contextmanager
def _undoing(pool: Any) -> Iterator[None]:
    """Where recording breaks off inside, put back what torch then leaves changed: stream, random numbers, memory."""
    stream = torch.cuda.current_stream()
    try:
        yield
    except Exception:
        torch.cuda.set_stream(stream)
        torch.cuda.synchronize()
        with suppress(RuntimeError):  # raised if the recording has ended its use of the pool, as it should
            torch._C._cuda_endAllocateToPool(stream.device_index, pool)
        generator = torch.cuda.default_generators[stream.device_index]
        generator.graphsafe_set_state(generator.clone_state())  # the old state may believe that it is being recorded
        raise
