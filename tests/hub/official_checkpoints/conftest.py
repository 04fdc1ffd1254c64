"""Fake published checkpoints: the right names and shapes, made-up values."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.hub.official import SLOTS, Slot
from lyra.hub.official.slots import STATISTICS, WRAPPERS
from lyra.hub.official.tensor_archive import TensorArchive
from lyra.models.decoder import official_dynamic, official_static
from lyra.models.teacher.config import official as official_teacher
from lyra.models.tokenizer import CosmosTokenizerConfig

DECODER = dict(latent_channels=4, ray_channels=8, width=16, depth=8, heads=2, ssm_state=8, ssm_head=8)
TINY = {
    "teacher": replace(
        official_teacher(), latent_channels=4, mask_channels=4, heads=2, head_dim=12, layers=2, text_dim=6,
        text_tokens=4, adaln_lora_dim=5, max_size=(8, 16, 16),
    ),
    "tokenizer": CosmosTokenizerConfig(4, (8, 16, 32, 32), (16, 32, 32, 32), 2, 3, "bfloat16"),
    "decoder-static": replace(official_static(), **DECODER),
    "decoder-dynamic": replace(official_dynamic(), **DECODER),
}  # fmt: skip


def tiny_slots() -> tuple[Slot, ...]:
    return tuple(replace(slot, config=TINY[slot.role]) for slot in SLOTS)


def fake_state(slot: Slot, seed: int) -> dict[str, torch.Tensor]:
    """Random tensors under the names of the slot's own network."""
    generator = torch.Generator().manual_seed(seed)
    return {
        name: torch.randn(tensor.shape, generator=generator).abs() + 0.1 if name in STATISTICS else
        torch.randn(tensor.shape, generator=generator)
        for name, tensor in slot.network().state_dict().items()
    }  # fmt: skip


def write_fake(folder: Path, slot: Slot, state: dict[str, torch.Tensor], **extra: object) -> Path:
    """The slot's file as upstream publishes it: wrapper, prefix, leftovers, training state."""
    target = folder / slot.folder
    target.mkdir(parents=True, exist_ok=True)
    named = {slot.in_file(published): state[own] for published, own in slot.names(state).items()}
    path = target / slot.exported
    torch.save({slot.wrapper: {**named, **extra}, "global_steps": 83_000, "lr_scheduler": None}, path)
    if slot.statistics:
        torch.save(tuple(state[name].flatten() for name in STATISTICS), target / "mean_std.pt")
    return path


@pytest.fixture
def checkpoints(tmp_path: Path) -> Path:
    """A checkpoints folder with tiny networks."""
    folder = tmp_path / "checkpoints"
    for seed, slot in enumerate(tiny_slots()):
        leftovers = {"net.logvar.0.freqs": torch.zeros(2), "net.pos_embedder.seq": torch.arange(3.0)}
        leftovers = leftovers if slot.role == "teacher" else {}
        write_fake(folder, slot, fake_state(slot, seed), **leftovers)
    return folder


@pytest.fixture
def full_size_file(repository: Path) -> Callable[[Path, Slot], Path]:
    """Writes a full-size fake of one slot: a sparse file with all names and shapes, some values filled in."""

    def write(folder: Path, slot: Slot) -> Path:
        path = folder / slot.folder / slot.exported
        path.parent.mkdir(parents=True)
        state = slot.network().state_dict()
        names = {slot.in_file(published): own for published, own in slot.names(state).items()}
        empty = {name: torch.empty(state[own].shape, dtype=torch.bfloat16) for name, own in names.items()}
        with torch.serialization.skip_data():
            torch.save({slot.wrapper: empty}, path)
        archive = TensorArchive(path, WRAPPERS)
        with path.open("r+b") as file:
            for index, name in enumerate(names):
                file.seek(archive.tensors[name].position)
                count = min(4096, empty[name].numel())
                file.write(torch.full((count,), index / 64, dtype=torch.bfloat16).view(torch.uint8).numpy().tobytes())
        return path

    return write


def names_of(listed: Path) -> dict[str, list[int]]:
    return json.loads(listed.read_text())
