"""Calls of a network on a GPU, recorded once for each shape and from then on replayed.

A small network is a few thousand short kernels a step, and launching them one by one from Python takes longer than
running them. A CUDA graph launches all of them at once, forward and backward.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from lyra.training.options import TrainOptions
from lyra.training.processes import rank_and_size


def records_calls(options: TrainOptions, device: torch.device) -> bool:
    """Whether a run can replay its network: on one GPU, one batch a step, and nothing else replaces its calls."""
    replaced = options.eager or options.compile or options.shard or options.checkpoint_activations
    return device.type == "cuda" and rank_and_size()[1] == 1 and options.accumulate == 1 and not replaced


class RecordedCalls:
    """A module that is recorded at its first call with tensors of certain shapes and replayed at all later ones.

    The module must do the same kernels whatever the numbers are, and draw nothing at random. What a call returns, and
    the gradients it leaves, are overwritten by the next call with the same shapes: a step makes one of each kind.

    Args:
        module: from tensors, some of which may be ``None``, to a tensor or a tuple of tensors.
    """

    def __init__(self, module: nn.Module) -> None:
        self._module = module
        self._recorded: dict[tuple[Any, ...], Callable[..., Any]] = {}

    def __call__(self, *tensors: Tensor | None) -> Any:
        """Call the module."""
        key = tuple(None if x is None else (x.shape, x.dtype) for x in tensors)
        present = tuple(x for x in tensors if x is not None)
        if key not in self._recorded:
            call = _Call(self._module, tuple(x is not None for x in tensors))
            samples = tuple(x.detach().clone() for x in present)
            dtype, rounded = torch.get_autocast_dtype("cuda"), torch.is_autocast_enabled("cuda")
            with torch.autocast("cuda", dtype=dtype, enabled=rounded, cache_enabled=False):
                self._recorded[key] = torch.cuda.make_graphed_callables(call, samples, allow_unused_input=True)
        return self._recorded[key](*present)


class _Call(nn.Module):
    """One kind of call: the tensors that are there, in order."""

    def __init__(self, module: nn.Module, given: tuple[bool, ...]) -> None:
        super().__init__()
        self.module, self.given = module, given

    def forward(self, *present: Tensor) -> Any:
        """Call the module with ``None`` where nothing is given."""
        rest = iter(present)
        torch.clear_autocast_cache()  # weights that were rounded before would stay as they are in the record
        result = self.module(*(next(rest) if there else None for there in self.given))
        torch.clear_autocast_cache()
        return result
