"""Published checkpoints become a model folder: every name and shape is checked before anything is written."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.hub.folder_card import FolderCard
from lyra.hub.model_folder import NewModelFolder, require_room
from lyra.hub.official.slots import SLOTS, STATISTICS, STATISTICS_FILE, WRAPPERS, Slot
from lyra.hub.official.tensor_archive import StoredTensor, TensorArchive
from lyra.hub.official.writing import Meter, Progress, write_slot
from lyra.structures import InputError

LISTED = 12
"""Names that a message spells out of each kind."""


@dataclass(frozen=True)
class Found:
    """A slot with its opened files.

    Attributes:
        slot: what they fill.
        paths: the files.
        places: own name to the archive and the name in it, in the order of the network.
    """

    slot: Slot
    paths: tuple[Path, ...]
    places: Mapping[str, tuple[TensorArchive, str]]

    @property
    def bytes_written(self) -> int:
        """Size of the converted weights."""
        return sum(_size(name, archive.tensors[stored]) for name, (archive, stored) in self.places.items())


def import_official(
    checkpoints: Path,
    out: Path,
    description: Mapping[str, Any],
    roles: Sequence[str],
    slots: Sequence[Slot] = SLOTS,
    progress: Progress | None = None,
) -> tuple[FolderCard, ...]:
    """Convert published checkpoints into a model folder, which appears complete or not at all.

    The large weights become bfloat16; only one file of at most 2 GB is in memory at a time.

    Args:
        checkpoints: folder with the downloaded repositories, as upstream's scripts lay it out.
        out: model folder to make; it must not exist.
        description: what the folder's own description says, plain values.
        roles: networks that are wanted.
        slots: all networks that are known.
        progress: called with the role at work and the share that is done, 0…1.

    Returns:
        the cards that were written.

    Raises:
        InputError: files are missing, cut off, damaged or another network's; names or shapes do not fit (all are
            listed); the target exists or the disk is too full.
    """
    wanted = [slot for slot in slots if slot.role in roles]
    located = {slot.role: paths for slot in wanted if (paths := locate(checkpoints, slot)) is not None}
    absent = [slot for slot in wanted if slot.role not in located]
    if absent:
        places = "; ".join(f"{slot.folder}/{' + '.join(slot.files[0])} ({slot.repository})" for slot in absent)
        raise InputError(f"checkpoints {checkpoints} lack {places}; download these repositories into it")
    found = [open_slot(slot, located[slot.role], slots) for slot in wanted]
    total = sum(one.bytes_written for one in found)
    require_room(out, total)
    meter = Meter(total, progress)
    cards = []
    with NewModelFolder(out) as folder:
        for one in found:
            slot = one.slot
            source = {"repository": slot.repository, "files": [path.name for path in one.paths]}
            cards.append(
                write_slot(folder / slot.role, slot, _converted(one), slot.licence, source, meter.of(slot.role))
            )
        NewModelFolder.describe(folder, description)
    return tuple(cards)


def locate(checkpoints: Path, slot: Slot) -> tuple[Path, ...] | None:
    """The files of a slot: in its repository's folder, one folder deeper, or in the folder itself."""
    if not checkpoints.is_dir():
        raise InputError(f"checkpoints {checkpoints} is not a folder; give the one that holds {slot.folder}")
    folders = [checkpoints / slot.folder, *sorted(checkpoints.glob(f"*/{slot.folder}")), checkpoints]
    for folder in folders:
        if folder == checkpoints and checkpoints.name != slot.folder:
            continue
        for alternative in slot.files:
            names = (*alternative, STATISTICS_FILE) if slot.statistics else alternative
            if all((folder / name).is_file() for name in names):
                return tuple(folder / name for name in names)
    return None


def open_slot(slot: Slot, paths: tuple[Path, ...], slots: Sequence[Slot]) -> Found:
    """Open the files of a slot and check every name and shape.

    Raises:
        InputError: see `import_official`.
    """
    expected = dict(slot.network().state_dict())
    names = slot.names(expected)
    places: dict[str, tuple[TensorArchive, str]] = {}
    surplus: list[str] = []
    weight_paths = [path for path in paths if not (slot.statistics and path.name == STATISTICS_FILE)]
    for path in weight_paths:
        archive = TensorArchive(path, WRAPPERS)
        for stored in archive.tensors:
            bare = slot.bare(stored)
            if bare is None:
                continue
            if bare in names:
                places[names[bare]] = (archive, stored)
            else:
                surplus.append(stored)
    if slot.statistics:
        places.update(_statistics(paths[-1]))
    missing = [name for name in names if names[name] not in places]
    if missing or surplus:
        _refuse_names(slot, weight_paths, missing, surplus, names, slots)
    shapes = [
        f"{stored} {list(archive.tensors[stored].shape)} instead of {list(expected[own].shape)}"
        for own, (archive, stored) in places.items()
        if own not in STATISTICS and archive.tensors[stored].shape != expected[own].shape
    ]
    if shapes:
        raise InputError(f"{_files(weight_paths)}: {_listed(shapes, 'of another shape')}; is it {slot.repository}?")
    ordered = {own: places[own] for own in expected}
    for own in STATISTICS if slot.statistics else ():
        archive, stored = ordered[own]
        count = torch.Size(archive.tensors[stored].shape).numel()
        if count != expected[own].numel():
            raise InputError(
                f"{archive.path}: {count} numbers of {own}, expected {expected[own].numel()} "
                f"({list(expected[own].shape)}); is it {slot.repository}?"
            )
    return Found(slot, paths, ordered)


def _statistics(path: Path) -> dict[str, tuple[TensorArchive, str]]:
    archive = TensorArchive(path)
    stored = list(archive.tensors)
    if len(stored) != 2:
        raise InputError(f"{path}: holds {len(stored)} tensors, expected mean and deviation; download it again")
    return {own: (archive, name) for own, name in zip(STATISTICS, stored, strict=True)}


def _converted(found: Found) -> Iterator[tuple[str, Tensor]]:
    shapes = {name: tensor.shape for name, tensor in found.slot.network().state_dict().items()}
    for name, (archive, stored) in found.places.items():
        tensor = archive.load(stored)
        yield name, tensor.to(_dtype(name, tensor.dtype)).reshape(shapes[name])


def _dtype(name: str, dtype: torch.dtype) -> torch.dtype:
    if not dtype.is_floating_point:
        return dtype
    return torch.float32 if name in STATISTICS else torch.bfloat16


def _size(name: str, stored: StoredTensor) -> int:
    return torch.Size(stored.shape).numel() * _dtype(name, stored.dtype).itemsize


def _refuse_names(
    slot: Slot,
    paths: Sequence[Path],
    missing: Sequence[str],
    surplus: Sequence[str],
    names: Mapping[str, str],
    slots: Sequence[Slot],
) -> None:
    """Say what is wrong with the names of a file, and whose file it is instead, if that can be told."""
    if len(missing) > len(names) / 2:
        for other in slots:
            if other.role != slot.role and other.bare is not slot.bare:
                bare = {other.bare(name) for name in surplus}
                if len(bare & set(other.names(other.network().state_dict()))) > len(surplus) / 2:
                    raise InputError(
                        f"{_files(paths)} holds the weights of {other.role} ({other.repository}), not of {slot.role}; "
                        f"put the file of {slot.repository} there"
                    )
    parts = [_listed(found, kind) for found, kind in ((missing, "missing"), (surplus, "surplus")) if found]
    raise InputError(f"{_files(paths)}: tensors {'; '.join(parts)}; is it {slot.repository}? nothing was written")


def _listed(names: Sequence[str], kind: str) -> str:
    more = f" and {len(names) - LISTED} more" if len(names) > LISTED else ""
    return f"{len(names)} {kind} ({', '.join(names[:LISTED])}{more})"


def _files(paths: Sequence[Path]) -> str:
    return " + ".join(str(path) for path in paths)
