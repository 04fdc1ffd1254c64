"""Small stored forms of weights: int8 per output channel or fp16 for the large ones, fp32 for the small ones.

An int8 tensor ``name`` comes with ``name::scale`` [output channels] fp32 and stands for ``int8 * scale``. Its error is
at most half a scale step, that is max|w| / 254 of its output channel.
"""

from collections.abc import Mapping
from typing import Literal

import torch
from torch import Tensor, nn

from lyra.structures import InputError

Storage = Literal["int8", "fp16", "fp32"]
SCALE = "::scale"
_EXACT_BELOW = 4096
"""Tensors with fewer elements (biases, norms, statistics) are stored in fp32: they cost nothing and matter most."""
_ROW_WISE = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Conv3d, nn.Embedding)
"""Layers whose weight has its output channel (or its table row) in the first axis."""
_HALF_LIMIT = torch.finfo(torch.float16).max


def quantize(weight: Tensor) -> tuple[Tensor, Tensor]:
    """int8 form of a weight [O, ...] and its scale [O], symmetric, largest magnitude of a channel at 127."""
    rows = weight.float().flatten(1)
    scale = rows.abs().amax(dim=1) / 127
    steps = (rows / scale.clamp(min=torch.finfo(torch.float32).tiny)[:, None]).round_().clamp_(-127, 127)
    return steps.to(torch.int8).view(weight.shape), scale


def dequantize(weight: Tensor, scale: Tensor) -> Tensor:
    """fp32 weight of its int8 form and scale."""
    return weight.float().mul_(scale.view(-1, *[1] * (weight.dim() - 1)))


def pack(module: nn.Module, storage: Storage) -> dict[str, Tensor]:
    """State of a module in stored form, on the CPU.

    Raises:
        InputError: an unknown storage, or a weight that is not finite.
    """
    if storage not in ("int8", "fp16", "fp32"):
        raise InputError(f"storage {storage!r}: expected int8, fp16 or fp32")
    row_wise = {
        f"{prefix}.weight".removeprefix(".") for prefix, part in module.named_modules() if isinstance(part, _ROW_WISE)
    }
    packed: dict[str, Tensor] = {}
    for name, value in module.state_dict().items():
        tensor = value.detach().cpu()
        if not tensor.is_floating_point():
            packed[name] = tensor.clone(memory_format=torch.contiguous_format)
            continue
        if not bool(tensor.isfinite().all()):
            raise InputError(f"weight {name} has values that are not finite: the training diverged, use a checkpoint")
        tensor = tensor.float().clone(memory_format=torch.contiguous_format)
        if tensor.numel() < _EXACT_BELOW or storage == "fp32":
            packed[name] = tensor
        elif storage == "int8" and name in row_wise:
            packed[name], packed[name + SCALE] = quantize(tensor)
        else:
            packed[name] = tensor.half() if float(tensor.abs().max()) <= _HALF_LIMIT else tensor
    return packed


def unpack(stored: Mapping[str, Tensor], expected: Mapping[str, Tensor], where: str) -> dict[str, Tensor]:
    """State for ``load_state_dict`` from its stored form; floating tensors become fp32.

    Args:
        stored: tensors of the file.
        expected: ``state_dict()`` of the module that will load them.
        where: the file, for messages.

    Raises:
        InputError: names missing or surplus (all listed), a shape or a number type that does not fit.
    """
    scales = {name for name in stored if name.endswith(SCALE) and name.removesuffix(SCALE) in expected}
    names = set(stored) - scales
    missing, surplus = sorted(set(expected) - names), sorted(names - set(expected))
    if missing or surplus:
        parts = [f"{what}: {', '.join(which)}" for what, which in (("missing", missing), ("surplus", surplus)) if which]
        raise InputError(f"{where}: tensors do not fit the model ({'; '.join(parts)}); use weights of this model class")
    state = {}
    for name, target in expected.items():
        tensor = stored[name]
        if tensor.shape != target.shape:
            raise InputError(
                f"{where}: {name} has shape {list(tensor.shape)}, the model expects {list(target.shape)}; "
                "weights and config do not belong together"
            )
        if not target.is_floating_point():
            if tensor.dtype != target.dtype:
                raise InputError(f"{where}: {name} is {tensor.dtype}, the model expects {target.dtype}; save it again")
            state[name] = tensor
        elif tensor.dtype == torch.int8:
            scale = stored.get(name + SCALE)
            if scale is None or scale.dtype != torch.float32 or scale.shape != tensor.shape[:1]:
                raise InputError(f"{where}: {name} is int8 but its scale is absent or malformed; save the model again")
            state[name] = dequantize(tensor, scale)
        elif tensor.is_floating_point():
            state[name] = tensor.float()
        else:
            raise InputError(f"{where}: {name} is {tensor.dtype}, expected a floating type or int8; save it again")
    return state
