"""Where the teacher's weights lie: on the device, or in host memory with a block or two on their way to the device."""

import importlib.util
from itertools import chain

import torch

from lyra.models.teacher.model import Teacher
from lyra.structures import InputError

BLOCKS_ON_DEVICE = 2
"""Blocks that lie on the device at a time where they stream: the one at work and the one that is being fetched."""


def require_streaming() -> None:
    """Refuse to stream where that cannot be done; to be asked before weights are loaded.

    Raises:
        InputError: the package that moves the inputs is not installed.
    """
    if importlib.util.find_spec("accelerate") is None:
        raise InputError("streaming weights needs accelerate; pip install 'lyra-scenes[official]'")


def stream_blocks(teacher: Teacher, device: torch.device) -> None:
    """Keep the weights in host memory and bring each block to the device just before it works, in place.

    On a CUDA device the next block is copied while the one before works; the host memory is pinned for that.

    Args:
        teacher: on the CPU.
        device: where it computes.

    Raises:
        InputError: as `require_streaming`.
    """
    require_streaming()
    from diffusers.hooks import apply_group_offloading

    cuda = device.type == "cuda"
    for tensor in chain(teacher.backbone.parameters(), teacher.backbone.buffers()) if cuda else ():
        tensor.data = tensor.data.pin_memory()  # one by one: the library would hold all of them twice
    apply_group_offloading(
        teacher.backbone,
        onload_device=device,
        offload_device=torch.device("cpu"),
        offload_type="block_level",
        num_blocks_per_group=1,
        non_blocking=cuda,
        use_stream=cuda,
        record_stream=cuda,
    )


def store_in_8_bits(teacher: Teacher, compute: torch.dtype) -> None:
    """Store the large weights as float8 (e4m3), half the size, and widen each layer when it works. Rounds the weights.

    Args:
        teacher: anywhere; changed in place. Modulation, norms and embeddings keep their type.
        compute: type that the layers compute in.
    """
    teacher.backbone.enable_layerwise_casting(storage_dtype=torch.float8_e4m3fn, compute_dtype=compute)
