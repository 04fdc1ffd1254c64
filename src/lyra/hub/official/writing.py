"""What import and random weights have in common: one network of a slot written with its card, and how far that is."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from lyra.hub.config_json import config_to_dict
from lyra.hub.folder_card import CARD_FILE, FolderCard
from lyra.hub.official.slots import Slot
from lyra.hub.weight_shards import write_shards

Progress = Callable[[str, float], None]
"""Told the role at work and the share that is done, 0…1."""


class Meter:
    """Counts bytes of several networks, and tells the share of all.

    Args:
        total: bytes that are expected; the share stays at 1 where more come.
        progress: is told, None for nobody.
    """

    def __init__(self, total: int, progress: Progress | None) -> None:
        self.total, self.progress = total, progress
        self.done = 0

    def of(self, role: str) -> Callable[[int], None]:
        """To be called with each number of bytes that is done for a role."""

        def count(size: int) -> None:
            self.done += size
            if self.progress is not None:
                self.progress(role, min(self.done / self.total, 1.0))

        return count


def write_slot(
    folder: Path,
    slot: Slot,
    tensors: Iterable[tuple[str, Tensor]],
    licence: str,
    source: Mapping[str, Any],
    on_bytes: Callable[[int], None],
) -> FolderCard:
    """Write the weights of a slot, the large ones in bfloat16, and their card.

    Args:
        folder: to make.
        slot: whose network it is.
        tensors: own names and values, see `write_shards`.
        licence: of the weights.
        source: where they come from, plain values.
        on_bytes: see `write_shards`.
    """
    folder.mkdir()
    card = FolderCard(
        name=slot.name,
        config=config_to_dict(slot.config),
        files=write_shards(folder, tensors, on_bytes),
        parameters=sum(p.numel() for p in slot.network().parameters()),
        dtype="bfloat16",
        licence=licence,
        source=dict(source),
    )
    (folder / CARD_FILE).write_text(card.to_json(), encoding="utf-8")
    return card
