"""Reading records wherever they lie: in a store of ours or in the published data layout."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Protocol

from lyra.data.corrupt import CorruptRecordError
from lyra.data.latent_space import LatentSpace
from lyra.data.manifest import MANIFEST
from lyra.data.published import PublishedFolder
from lyra.data.store import SceneStore
from lyra.structures import InputError, SceneRecord


class RecordSource(Protocol):
    """What `SceneStore` and `PublishedFolder` have in common."""

    folder: Path

    def keys(self) -> tuple[str, ...]:
        """Names of the records."""

    def read(self, key: str, rgb: bool = True) -> SceneRecord:
        """One record; `CorruptRecordError` if it is damaged."""


def open_records(folder: Path | str, space: LatentSpace) -> RecordSource:
    """The records of a store, or of a folder in the published layout.

    Args:
        folder: either of them.
        space: the latent space that is needed.

    Raises:
        InputError: neither of them, without a record, or with latents of another space. The published layout does not
            name its space; there a wrong number of channels is found when a record is read.
    """
    folder = Path(folder)
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise InputError(f"{folder} {what}; give the folder of a store, or of data in the published layout")
    if not (folder / MANIFEST).exists():
        return PublishedFolder(folder, space)
    store = SceneStore(folder)
    space.require(store.manifest.space, f"store {folder}")
    if not len(store):
        raise InputError(f"store {folder} is empty; fill it with lyra synthesize --store {folder}")
    return store


def readable_records(
    source: RecordSource, report: Callable[[str], None], keys: Iterable[str] | None = None, rgb: bool = True
) -> Iterator[SceneRecord]:
    """The records one after the other; damaged ones are left out.

    Args:
        source: where they lie.
        report: told of each damaged record, and at the end how many there were.
        keys: which; ``None`` for all.
        rgb: decode their pictures too, where they have them.
    """
    damaged = 0
    for key in source.keys() if keys is None else keys:
        try:
            record = source.read(key, rgb)
        except CorruptRecordError as fault:
            damaged += 1
            report(str(fault))
            continue
        yield record
    if damaged:
        report(f"{source.folder}: {damaged} damaged records were left out")
