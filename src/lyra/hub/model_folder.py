"""A folder with all networks of one size: its description, one folder per network, written completely or not at all."""

import json
import os
import secrets
import shutil
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from lyra.hub.config_json import config_from_dict
from lyra.hub.folder_card import FolderCard
from lyra.hub.registry import config_class, model_class
from lyra.hub.weight_shards import checksum, read_shards
from lyra.io.files import reason
from lyra.structures import InputError

DESCRIPTION_FILE = "model.json"
FORMAT = 1
SPARE_BYTES = 1 << 28
"""Left free on the disk beyond what is written."""

_Network = TypeVar("_Network", bound=nn.Module)
Convert = Callable[[str, Tensor], Mapping[str, Tensor]]
"""A tensor of the files, by name, to what a network stores for it."""


class NewModelFolder:
    """Context manager: a hidden folder beside the target, renamed to it on success and removed on any exception.

    Args:
        target: must not exist; its parents are made.

    Raises:
        InputError: on entering, if the target exists or its place cannot be written.
    """

    def __init__(self, target: Path) -> None:
        self.target = target.absolute()
        self._path = self.target.with_name(f".{self.target.name}.partial-{secrets.token_hex(4)}")

    def __enter__(self) -> Path:
        if self.target.exists():
            raise InputError(f"{self.target} exists; choose another name, or remove it first")
        try:
            self._path.mkdir(parents=True)
        except OSError as error:
            raise InputError(f"cannot write {self.target} ({reason(error)}); choose another place") from error
        return self._path

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                os.rename(self._path, self.target)
        finally:
            shutil.rmtree(self._path, ignore_errors=True)

    @staticmethod
    def describe(folder: Path, description: Mapping[str, Any]) -> None:
        """Write the description, which makes it a model folder."""
        text = json.dumps({"format": FORMAT, **description}, indent=2, ensure_ascii=False)
        (folder / DESCRIPTION_FILE).write_text(text + "\n", encoding="utf-8")


def require_room(target: Path, needed: int) -> None:
    """Refuse to begin where the disk is too full.

    Raises:
        InputError: fewer than ``needed`` bytes (and a little) are free.
    """
    parent = target.absolute().parent
    while not parent.exists():
        parent = parent.parent
    free = shutil.disk_usage(parent).free
    if free < needed + SPARE_BYTES:
        raise InputError(
            f"{target} needs {(needed + SPARE_BYTES) / 1e9:.1f} GB, {free / 1e9:.1f} GB are free there; "
            "free some, or choose another disk"
        )


def read_description(folder: Path) -> dict[str, Any]:
    """The description of a model folder.

    Raises:
        InputError: no such folder, no description, or a newer layout.
    """
    path = folder / DESCRIPTION_FILE
    if not folder.is_dir():
        raise InputError(f"model folder {folder} does not exist; make one with lyra models import-official")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise InputError(
            f"{folder} has no {DESCRIPTION_FILE}; give a folder made by lyra models import-official"
        ) from error
    except (OSError, ValueError) as error:
        raise InputError(f"{path} is not readable JSON ({reason(error)}); import the checkpoints again") from error
    if not isinstance(values, dict):
        raise InputError(f"{path} should hold one JSON object; import the checkpoints again")
    if values.pop("format", FORMAT) != FORMAT:
        raise InputError(f"{path} was written by another version; update lyra, or import the checkpoints again")
    return values


def load_network(
    folder: Path,
    kind: type[_Network],
    device: torch.device | str = "cpu",
    dtype: torch.dtype | None = None,
    prepare: Callable[[_Network], None] | None = None,
    convert: Convert | None = None,
) -> _Network:
    """Build a network of a model folder without ever holding a second copy of its weights.

    Args:
        folder: of the network: card and weight files.
        kind: the class that is needed.
        device: where the weights are put, file by file.
        dtype: type of the large weights, None as stored; what is stored in float32 stays so.
        prepare: changes the network while its weights are shapes alone; those that it makes smaller than 16 bits are
            put on the device that small.
        convert: what the changed network stores for a tensor of the files, by name; none for what it does without.

    Raises:
        InputError: absent, cut off or damaged files, a network of another class, or names that do not fit.
    """
    card = FolderCard.read(folder)
    build = _builder(folder, card, kind)
    with torch.device("meta"):
        network = build()
    if prepare is not None:
        prepare(network)
    expected, state = network.state_dict(), {}
    for found_name, found_tensor in read_shards(folder, card.files, device):
        stored = {found_name: found_tensor} if convert is None else convert(found_name, found_tensor)
        for name, tensor in stored.items():
            if name in expected and expected[name].dtype.itemsize == 1:
                tensor = tensor.to(expected[name].dtype)
            state[name] = tensor.to(dtype) if dtype is not None and tensor.dtype == torch.bfloat16 else tensor
    wrong = sorted(set(expected) ^ set(state)) or [n for n in expected if expected[n].shape != state[n].shape]
    if wrong:
        raise InputError(f"{folder}: weights do not fit the card: {', '.join(wrong[:6])}; import the checkpoints again")
    network.load_state_dict(state, assign=True)
    _fill_constants(network, build, device)
    return network.requires_grad_(False).eval()


def network_shape(folder: Path, kind: type[_Network]) -> _Network:
    """The network of a model folder as its card describes it, on the meta device: shapes without memory.

    Raises:
        InputError: no card, a file of weights is missing or cut off, or a network of another class.
    """
    build = _builder(folder, FolderCard.read(folder), kind)
    with torch.device("meta"):
        return build()


def _builder(folder: Path, card: FolderCard, kind: type[_Network]) -> Callable[[], _Network]:
    """What builds the network of a card; its class is imported already, so that constants of libraries stay real."""
    found = model_class(card.name)
    if not issubclass(found, kind):
        raise InputError(f"{folder} holds a {found.__name__}; a {kind.__name__} is needed here")
    return partial(found, config_from_dict(config_class(card.name), card.config, f"{folder}: config"))


def _fill_constants(network: nn.Module, build: Callable[[], nn.Module], device: torch.device | str) -> None:
    """Give constants that are no weights (buffers outside the state) their values."""
    lost = [name for name, buffer in network.named_buffers() if buffer.is_meta]
    if lost:
        with torch.random.fork_rng(devices=[]):
            values = dict(build().named_buffers())
        for name in lost:
            owner, _, attribute = name.rpartition(".")
            setattr(network.get_submodule(owner), attribute, values[name].to(device))
    for buffer_owner in network.modules():
        for name, buffer in buffer_owner._buffers.items():
            if buffer is not None and buffer.device != torch.device(device):
                buffer_owner._buffers[name] = buffer.to(device)


def verify(folder: Path) -> None:
    """Compare the checksums of a network's weight files with its card.

    Raises:
        InputError: a file is not the one that was written.
    """
    for file in FolderCard.read(folder).files:
        if checksum(folder / file.name) != file.sha256:
            raise InputError(f"{folder / file.name}: wrong checksum, the file is damaged; import the checkpoints again")
