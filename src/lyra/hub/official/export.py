"""A model folder becomes published checkpoint files again, written in place without holding them in memory."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch

from lyra.hub.config_json import config_from_dict
from lyra.hub.folder_card import FolderCard
from lyra.hub.model_folder import NewModelFolder, require_room, verify
from lyra.hub.official.slots import SLOTS, STATISTICS, STATISTICS_FILE, WRAPPERS, Slot
from lyra.hub.official.tensor_archive import TensorArchive
from lyra.hub.official.writing import Meter, Progress
from lyra.hub.weight_shards import read_shards
from lyra.structures import InputError


def export_official(
    model: Path,
    out: Path,
    slots: Sequence[Slot] = SLOTS,
    progress: Progress | None = None,
) -> tuple[Path, ...]:
    """Write the networks of a model folder as ``.pt`` files with the published names, in the published layout.

    Args:
        model: a model folder.
        out: checkpoints folder to make; it must not exist.
        slots: all networks that are known.
        progress: called with the role at work and the share that is done, 0…1.

    Returns:
        the files, below ``out``.

    Raises:
        InputError: not a model folder, networks of another size, damaged weights, the target exists, or the disk is
            too full.
    """
    present = [slot for slot in slots if (model / slot.role).is_dir()]
    if not present:
        raise InputError(f"model folder {model} holds none of the published networks; give one that was imported")
    cards = {slot.role: FolderCard.read(model / slot.role) for slot in present}
    for slot in present:
        found = cards[slot.role]
        if config_from_dict(type(slot.config), found.config, f"{model / slot.role}: config") != slot.config:
            raise InputError(f"{model / slot.role} is a network of another size than {slot.repository}; it stays here")
    total = sum(card.size for card in cards.values())
    require_room(out, total)
    meter = Meter(total, progress)
    written: list[Path] = []
    with NewModelFolder(out) as folder:
        for slot in present:
            source = model / slot.role
            verify(source)  # others will hold the files for the published ones
            paths = _write(slot, cards[slot.role], source, folder / slot.folder, meter.of(slot.role))
            written += (out / path.relative_to(folder) for path in paths)
    return tuple(written)


def _write(
    slot: Slot, card: FolderCard, source: Path, target: Path, on_bytes: Callable[[int], None]
) -> tuple[Path, ...]:
    target.mkdir(parents=True, exist_ok=True)
    state = slot.network().state_dict()
    back = {own: slot.in_file(published) for published, own in slot.names(state).items()}
    path = target / slot.exported
    shards = [TensorArchive(source / file.name) for file in card.files]
    types = {name: stored.dtype for shard in shards for name, stored in shard.tensors.items()}
    # memory that is never touched costs nothing; the file gets its places first and its content below
    empty: dict[str, Any] = {back[own]: torch.empty(state[own].shape, dtype=types[own]) for own in back}
    with torch.serialization.skip_data():
        torch.save({slot.wrapper: empty}, path)
    archive = TensorArchive(path, WRAPPERS)
    statistics = {}
    with path.open("r+b") as file:
        for own, tensor in read_shards(source, card.files, "cpu"):
            on_bytes(tensor.nbytes)
            if own in STATISTICS:
                statistics[own] = tensor.clone()
                continue
            file.seek(archive.tensors[back[own]].position)
            file.write(tensor.flatten().view(torch.uint8).numpy().data)
    if not slot.statistics:
        return (path,)
    torch.save(tuple(statistics[own].flatten() for own in STATISTICS), target / STATISTICS_FILE)
    return path, target / STATISTICS_FILE
