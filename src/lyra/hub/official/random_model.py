"""A model folder with random weights: what time and memory a computer needs can be tried without the checkpoints."""

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.hub.folder_card import FolderCard
from lyra.hub.model_folder import NewModelFolder, require_room
from lyra.hub.official.slots import SLOTS, STATISTICS, Slot
from lyra.hub.official.writing import Meter, Progress, write_slot
from lyra.models.tokenizer import CosmosTokenizerConfig

_TOY: dict[str, dict[str, Any]] = {
    "teacher": dict(
        latent_channels=4, mask_channels=4, heads=2, head_dim=12, layers=2, text_dim=6, text_tokens=4,
        adaln_lora_dim=5, max_size=(8, 32, 32),
    ),
    "decoder": dict(
        latent_channels=4, ray_channels=8, width=16, depth=8, heads=2, ssm_state=8, ssm_head=8, ssm_chunk=64
    ),
}  # fmt: skip


def toy_slots() -> tuple[Slot, ...]:
    """The published networks with the smallest sizes that keep every part: for clips of up to 17 frames."""
    tiny = CosmosTokenizerConfig(4, (8, 8, 16, 16), (8, 16, 16, 16), 2, 3, "bfloat16")
    configs = {
        slot.role: tiny if slot.statistics else replace(slot.config, **_TOY[slot.role.partition("-")[0]])
        for slot in SLOTS
    }
    return tuple(replace(slot, config=configs[slot.role]) for slot in SLOTS)


def write_random_model(
    out: Path,
    description: Mapping[str, Any],
    roles: Sequence[str],
    slots: Sequence[Slot] = SLOTS,
    seed: int = 0,
    progress: Progress | None = None,
) -> tuple[FolderCard, ...]:
    """Make a model folder of random weights, of the size of the checkpoints or smaller.

    Args:
        out: model folder to make; it must not exist.
        description: as in `import_official`.
        roles: networks that are wanted.
        slots: their sizes.
        seed: of the weights.
        progress: called with the role at work and the share that is done, 0…1.

    Returns:
        the cards that were written.

    Raises:
        InputError: the target exists or the disk is too full.
    """
    wanted = [slot for slot in slots if slot.role in roles]
    shapes = {slot.role: slot.network().state_dict() for slot in wanted}
    total = sum(2 * tensor.numel() for state in shapes.values() for tensor in state.values())
    require_room(out, total)
    meter, generator = Meter(total, progress), torch.Generator().manual_seed(seed)
    licence, source = "none: random numbers", {"seed": seed}
    cards = []
    with NewModelFolder(out) as folder:
        for slot in wanted:
            values = _values(shapes[slot.role], generator)
            cards.append(write_slot(folder / slot.role, slot, values, licence, source, meter.of(slot.role)))
        NewModelFolder.describe(folder, description)
    return tuple(cards)


def _values(shapes: Mapping[str, Tensor], generator: torch.Generator) -> Iterator[tuple[str, Tensor]]:
    """Random tensors that keep the size of what passes through the network."""
    for name, shape in shapes.items():
        leaf = name.rpartition(".")[2]
        if name in STATISTICS:
            yield name, torch.zeros(shape.shape) if name == STATISTICS[0] else torch.ones(shape.shape)
        elif leaf == "A_log":
            yield name, torch.log(1 + 15 * torch.rand(shape.shape, generator=generator)).bfloat16()
        elif leaf == "dt_bias":
            yield name, torch.full(shape.shape, math.log(math.expm1(0.01))).bfloat16()
        elif shape.dim() == 1:
            yield name, (torch.zeros if leaf == "bias" else torch.ones)(shape.shape).bfloat16()
        else:
            # drawn in bfloat16: the widest tensor of the teacher has 67 million numbers
            values = torch.randn(shape.shape, generator=generator, dtype=torch.bfloat16)
            yield name, values.div_(math.sqrt(shape.numel() / shape.shape[0]))
