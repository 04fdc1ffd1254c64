"""A stretch of code that autocast must leave alone."""

from contextlib import AbstractContextManager, nullcontext

import torch


def full_precision(device: torch.device) -> AbstractContextManager[object]:
    """Context in which matrix products on ``device`` keep the dtype of their inputs, whatever autocast says.

    Camera geometry and running states need it: bfloat16 has eight bits of mantissa, a pixel needs twelve.
    """
    if device.type == "meta":  # shape inference only; autocast does not know this device
        return nullcontext()
    return torch.autocast(device_type=device.type, enabled=False)
