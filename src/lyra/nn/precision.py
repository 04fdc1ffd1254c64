"""Stretches of code that autocast must leave alone, and those that gain from it."""

from contextlib import AbstractContextManager, nullcontext
from functools import cache

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Context in which matrix products on ``device`` keep the dtype of their inputs, whatever autocast says.

    Camera geometry and running states need it: bfloat16 has eight bits of mantissa, a pixel needs twelve.
    """
    if device.type == "meta":  # shape inference only; autocast does not know this device
        return nullcontext()
    return torch.autocast(device_type=device.type, enabled=False)


def reduced_precision(device: torch.device, exact: bool = False) -> AbstractContextManager[object]:
    """Context in which matrix products and convolutions run in bfloat16 where ``device`` has units for it.

    GPUs from 2020 on have, of processors those with AVX512-BF16 or AMX. Elsewhere bfloat16 would be emulated and slower, so nothing
    changes there.

    Args:
        device: where the networks are.
        exact: keep float32 in any case.
    """
    if not uses_bfloat16(device, exact):
        return nullcontext()
    return torch.autocast(device_type=device.type, dtype=torch.bfloat16)


def uses_bfloat16(device: torch.device, exact: bool = False) -> bool:
    """Whether `reduced_precision` changes anything."""
    if exact:
        return False
    if device.type == "cuda":
        return torch.cuda.is_bf16_supported(including_emulation=False)
    return device.type == "cpu" and processor_has_bfloat16()


@cache
def processor_has_bfloat16() -> bool:
    """Whether this processor multiplies bfloat16 matrices in hardware."""
    questions = ("_is_avx512_bf16_supported", "_is_amx_tile_supported")  # torch offers no public ones
    return any(bool(getattr(torch.cpu, question, bool)()) for question in questions)
