"""A store of scene records: WebDataset shards, an index beside each, and a manifest."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from lyra.data.corrupt import CorruptRecordError
from lyra.data.index import GROWING, INDEX, SHARD, ShardIndex
from lyra.data.manifest import MANIFEST, Manifest
from lyra.data.record_codec import unpack_record
from lyra.data.shard import Entry, read_members, scan, sha256_of
from lyra.data.writer import seal_abandoned
from lyra.io.files import reason
from lyra.structures import InputError, SceneRecord


class SceneStore:
    """The records of one folder, as they are when the store is opened.

    A key that was written twice (which takes two commands for the same work at the same time) is given once.

    Args:
        folder: the store.

    Attributes:
        manifest: what the store is made of.

    Raises:
        InputError: no store there, a shard is missing, or a file is unreadable.
    """

    def __init__(self, folder: Path | str) -> None:
        self.folder = Path(folder)
        self.manifest = Manifest.read(self.folder)
        self._places: dict[str, tuple[str, Entry]] = {}
        for name, entries in _shards(self.folder, self.manifest):
            for entry in entries:
                self._places.setdefault(entry.key, (name, entry))

    def __len__(self) -> int:
        return len(self._places)

    def keys(self) -> tuple[str, ...]:
        """The records, shard by shard."""
        return tuple(self._places)

    def read(self, key: str, rgb: bool = True) -> SceneRecord:
        """One record.

        Args:
            key: its name, one of `keys`.
            rgb: decode its pictures too, where it holds them.

        Raises:
            CorruptRecordError: the record is damaged.
            InputError: there is no such record, or its shard has gone.
        """
        if key not in self._places:
            raise InputError(f"store {self.folder} has no record {key}; known are {_some(self.keys())}")
        name, entry = self._places[key]
        path = self.folder / (name + SHARD)
        try:
            try:
                members = read_members(path, entry)
            except FileNotFoundError:
                path = self.folder / (name + GROWING)
                members = read_members(path, entry)
        except OSError as error:
            raise InputError(f"shard {path} cannot be read ({reason(error)}); restore the file") from error
        record = unpack_record(key, members, str(path), rgb)
        if record.latents.tokenizer != self.manifest.space.tokenizer:
            raise CorruptRecordError(
                f"{path}: record {key} is of the tokenizer {record.latents.tokenizer}, the store of "
                f"{self.manifest.space.tokenizer}; restore the file from a copy"
            )
        return record

    def damaged_shards(self) -> tuple[str, ...]:
        """File names of the finished shards whose checksum is not that of their index; reads the whole store."""
        found = []
        for path in sorted(self.folder.glob(f"*{INDEX}")):
            index = ShardIndex.read(path)
            shard = self.folder / (index.name + SHARD)
            if shard.exists() and sha256_of(shard) != index.sha256:
                found.append(shard.name)
        return tuple(found)


def require_store_place(folder: Path) -> None:
    """Refuse a folder that is no store and cannot become one.

    Raises:
        InputError: a file, or a folder that holds other files.
    """
    if folder.is_dir():
        # a command that was killed at once leaves a manifest under another name
        others = [path for path in folder.iterdir() if not path.name.startswith(f".{MANIFEST}.")]
        if others and not (folder / MANIFEST).exists():
            raise InputError(f"store {folder} is a folder with other files in it; choose a new folder with --store")
    elif folder.exists() or folder.is_symlink():
        raise InputError(f"store {folder} is a file; give a folder with --store")


def begin_store(folder: Path, manifest: Manifest) -> SceneStore:
    """Open a store to write into it, or make it.

    Args:
        folder: where.
        manifest: what will be written; ignored where the store is there already and fits.

    Raises:
        InputError: the store holds other latents, other networks made it, or it cannot be written.
    """
    require_store_place(folder)
    manifest.write_first(folder)
    there = Manifest.read(folder)
    manifest.space.require(there.space, f"store {folder}")
    for name, network in manifest.networks.items():
        made_with = there.networks.get(name, network)
        if made_with["sha256"] != network["sha256"]:
            raise InputError(
                f"store {folder} was made with other weights of {name}; write into a new store, or use those weights"
            )
    seal_abandoned(folder)
    return SceneStore(folder)


def summarise(folder: Path) -> Manifest:
    """Bring the manifest's summary up to date with the indices of the shards.

    Several machines may do so at once; the last one has seen every shard that was finished before it began.

    Raises:
        InputError: the store is damaged or cannot be written.
    """
    seal_abandoned(folder)
    indices = [ShardIndex.read(path) for path in sorted(folder.glob(f"*{INDEX}"))]
    manifest = replace(Manifest.read(folder), shards=tuple(index.summary() for index in indices))
    manifest.write(folder)
    return manifest


def _shards(folder: Path, manifest: Manifest) -> Iterator[tuple[str, tuple[Entry, ...]]]:
    """Name and records of every shard, finished or growing.

    Raises:
        InputError: a shard that the manifest or an index speaks of is not there, or has another size.
    """
    known = {str(shard["name"]).removesuffix(SHARD): int(shard["records"]) for shard in manifest.shards}
    growing = {path.name.removesuffix(GROWING) for path in folder.glob(f"*{GROWING}")}
    # listed after the growing ones: a shard that is sealed in between is seen twice rather than not at all
    finished = {path.name.removesuffix(SHARD) for path in folder.glob(f"*{SHARD}")}
    indices = {path.name.removesuffix(INDEX): path for path in folder.glob(f"*{INDEX}")}
    for name in sorted(known.keys() | growing | finished | indices.keys()):
        if name in finished and name in indices:
            index = ShardIndex.read(indices[name])
            size = (folder / (name + SHARD)).stat().st_size
            if size != index.size:
                raise InputError(
                    f"store {folder}: shard {name}{SHARD} has {size} bytes instead of {index.size}; copy it again"
                )
            yield name, index.entries
        elif name in finished or name in growing:
            yield name, _scan_either(folder, name)
        else:
            count = known[name] if name in known else len(ShardIndex.read(indices[name]).entries)
            raise InputError(
                f"store {folder}: shard {name}{SHARD} is missing ({count} records); copy it back, or delete "
                f"{name}{INDEX} and its entry in manifest.json to go on without it"
            )


def _scan_either(folder: Path, name: str) -> tuple[Entry, ...]:
    """A growing shard may be finished at any moment."""
    for ending in (GROWING, SHARD):
        try:
            return scan(folder / (name + ending))
        except FileNotFoundError:
            continue
    return ()  # it held nothing and was tidied away


def _some(keys: tuple[str, ...], most: int = 5) -> str:
    return ", ".join(keys[:most]) + (f" and {len(keys) - most} more" if len(keys) > most else "")
