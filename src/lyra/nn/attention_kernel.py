"""Which fused kernel computes softmax attention on a GPU."""

from contextlib import AbstractContextManager, nullcontext

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

ORDER = (SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)


def fast_attention(device: torch.device) -> AbstractContextManager[None]:
    """Inside, attention of GPUs from Hopper on is cuDNN's where it takes the inputs; elsewhere as torch chooses.

    Its kernel is the one that uses the matrix units of these GPUs in full; results differ in rounding.
    """
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (9, 0):
        return nullcontext()
    return sdpa_kernel(list(ORDER), set_priority=True)
