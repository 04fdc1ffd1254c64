"""The teacher with its weights, held as the memory plan says."""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from lyra.hub.memory_plan import Choice
from lyra.hub.model_folder import load_network
from lyra.models.teacher import PublishedTeacher
from lyra.models.teacher.lean import make_lean
from lyra.models.teacher.null_text import drop_text, serves_text
from lyra.models.teacher.offload import store_in_8_bits, stream_blocks
from lyra.models.teacher.parallel import share_clip
from lyra.models.teacher.speed import compile_blocks, multiply_in_8_bits, stored_in_8_bits


def load_teacher(
    folder: Path, choice: Choice, device: torch.device, dtype: torch.dtype, reads_text: bool, sharing: int = 1
) -> PublishedTeacher:
    """Load the teacher of a model folder.

    Args:
        folder: of the network.
        choice: where its weights lie, and how they are stored and multiplied.
        device: where it computes.
        dtype: of its large weights, and of its computation.
        reads_text: whether it has its cross-attention.
        sharing: processes that compute every pass together.

    Raises:
        InputError: damaged weights, or a package that the choice needs is absent.
    """
    streamed = choice.teacher == "streamed"

    def prepare(network: PublishedTeacher) -> None:
        if not reads_text:
            drop_text(network)
        if choice.products:
            multiply_in_8_bits(network)
        if choice.eight_bits:
            store_in_8_bits(network, dtype)

    def convert(name: str, tensor: Tensor) -> Mapping[str, Tensor]:
        if not reads_text and serves_text(name):
            return {}
        return stored_in_8_bits(name, tensor) if choice.products else {name: tensor}

    place = torch.device("cpu") if streamed else device
    teacher = load_network(folder, PublishedTeacher, place, dtype, prepare, convert)
    if choice.lean:
        make_lean(teacher.backbone)
    if streamed:
        stream_blocks(teacher, device)
    if choice.products and device.type == "cuda":
        compile_blocks(teacher)
    if sharing > 1:
        share_clip(teacher, sharing, device)
    return teacher
