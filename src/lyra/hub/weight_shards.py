"""Weights in several safetensors files, written and read a piece at a time."""

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import safetensors
import torch
from safetensors.torch import save_file
from torch import Tensor

from lyra.hub.folder_card import WeightFile
from lyra.structures import InputError

SHARD_BYTES = 2 * 1000**3
"""Largest size of a file: half a network of this size fits in the memory of small computers, and any file system."""


def write_shards(
    folder: Path, tensors: Iterable[tuple[str, Tensor]], on_bytes: Callable[[int], None] | None = None
) -> tuple[WeightFile, ...]:
    """Write named tensors into files of at most ``SHARD_BYTES``, in the order they come.

    Only the tensors of one file are in memory at a time.

    Args:
        folder: exists; files are called model-00001-of-00008.safetensors and so on.
        tensors: names and values; none may be larger than a file.
        on_bytes: called with the size of each tensor once it is read.

    Raises:
        InputError: the disk is full or cannot be written.
    """
    shards: list[tuple[Path, str]] = []
    group: dict[str, Tensor] = {}
    size = 0

    def flush() -> None:
        nonlocal group, size
        shard = folder / f"part-{len(shards) + 1:05d}.safetensors"
        try:
            save_file(group, shard, metadata={"format": "pt"})
        except safetensors.SafetensorError as error:  # the library wraps what the disk says
            raise InputError(f"cannot write {shard} ({error}); free some space, or choose another place") from error
        shards.append((shard, checksum(shard)))  # now, while the file is still in memory
        group, size = {}, 0

    for name, tensor in tensors:
        if group and size + tensor.nbytes > SHARD_BYTES:
            flush()
        group[name] = tensor
        size += tensor.nbytes
        if on_bytes is not None:
            on_bytes(tensor.nbytes)
    if group:
        flush()
    files = []
    for number, (shard, digest) in enumerate(shards, 1):
        target = folder / f"model-{number:05d}-of-{len(shards):05d}.safetensors"
        shard.rename(target)
        target.chmod(0o644)
        files.append(WeightFile(target.name, target.stat().st_size, digest))
    return tuple(files)


def read_shards(folder: Path, files: Iterable[WeightFile], device: torch.device | str) -> Iterator[tuple[str, Tensor]]:
    """Names and values of all tensors, each put on the device as it comes.

    Raises:
        InputError: a file is damaged.
    """
    for file in files:
        try:
            with safetensors.safe_open(folder / file.name, framework="pt", device=str(device)) as shard:
                for name in shard.keys():  # noqa: SIM118 - not a mapping
                    yield name, shard.get_tensor(name)
        except (safetensors.SafetensorError, OSError) as error:
            raise InputError(f"{folder / file.name}: damaged ({error}); import the checkpoints again") from error


def checksum(path: Path) -> str:
    """sha256 of a file, read in pieces."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
