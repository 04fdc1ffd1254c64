"""Save, find and load models: ``<weights folder>/<task>/<name>.safetensors`` with a card of the same name.

A model of the user's own lies in a folder of its own as ``model.safetensors`` and ``card.json``.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar, overload

import safetensors
import safetensors.torch
import torch
from torch import nn

from lyra.hub.card import ModelCard
from lyra.hub.config_json import config_from_dict, config_to_dict
from lyra.hub.registry import config_class, known_names, model_class, require_known
from lyra.hub.storage import Storage, pack, unpack
from lyra.structures import InputError

WEIGHTS_VARIABLE = "LYRA_WEIGHTS_DIR"
"""Environment variable naming a weights folder to use instead of the embedded one."""

_EMBEDDED = Path(__file__).parent / "weights"

_Model = TypeVar("_Model", bound=nn.Module)


def weights_folder(weights_dir: Path | str | None = None) -> Path:
    """The folder asked for, else the one of ``LYRA_WEIGHTS_DIR``, else the embedded one."""
    return Path(weights_dir or os.environ.get(WEIGHTS_VARIABLE) or _EMBEDDED)


def save_model(
    module: nn.Module,
    name: str,
    config: Any,
    storage: Storage = "int8",
    *,
    recipe: Mapping[str, Any] | str = "",
    seed: int = 0,
    scores: Mapping[str, float] | None = None,
    licence: str = "CC-BY-SA-4.0",
    credits: Iterable[str] | str = (),
    weights_dir: Path | str | None = None,
    folder: Path | str | None = None,
) -> Path:
    """Store a model and its card; both files are complete before either takes its place.

    Args:
        module: the model.
        name: registered name, ``task/name``.
        config: the dataclass that ``module`` was built from.
        storage: "int8" per output channel, "fp16" or "fp32" for the large weights; small ones are always fp32.
        recipe: how it was trained: plain values, or one line of text.
        seed: seed of the training.
        scores: measured quality.
        licence: licence of the weights.
        credits: whose material went into them.
        weights_dir: weights folder; default as in ``load_model``.
        folder: a folder for this model alone, instead of ``weights_dir``.

    Returns:
        Path of the weight file.

    Raises:
        InputError: unknown name, a config of another class, or weights that are not finite.
    """
    require_known(name)
    if not isinstance(config, config_class(name)):
        raise InputError(f"{name}: the config must be {config_class(name).__name__}, got {type(config).__name__}")
    data = safetensors.torch.save(pack(module, storage))
    card = ModelCard(
        name=name,
        config=config_to_dict(config),
        sha256=hashlib.sha256(data).hexdigest(),
        size=len(data),
        parameters=sum(parameter.numel() for parameter in module.parameters()),
        storage=storage,
        licence=licence,
        credits=(credits,) if isinstance(credits, str) else tuple(credits),
        recipe={"text": recipe} if isinstance(recipe, str) else config_to_dict(recipe),
        seed=seed,
        scores={key: float(value) for key, value in (scores or {}).items()},
    )
    weights, card_path = _own_paths(Path(folder)) if folder else _named_paths(name, weights_folder(weights_dir))
    _replace_together({weights: data, card_path: card.to_json().encode()})
    return weights


@overload
def load_model(
    name: str | Path, device: torch.device | str = "cpu", weights_dir: Path | str | None = None
) -> nn.Module: ...


@overload
def load_model(
    name: str | Path,
    device: torch.device | str = "cpu",
    weights_dir: Path | str | None = None,
    *,
    kind: type[_Model],
) -> _Model: ...


def load_model(
    name: str | Path,
    device: torch.device | str = "cpu",
    weights_dir: Path | str | None = None,
    *,
    kind: type[nn.Module] = nn.Module,
) -> nn.Module:
    """Load a model for inference: fp32 weights, ``eval`` mode.

    Args:
        name: registered name, or the path of a folder with ``model.safetensors`` and ``card.json``.
        device: where the model is put.
        weights_dir: weights folder; default is that of ``LYRA_WEIGHTS_DIR``, else the embedded one.
        kind: the class that is needed; the name alone says only at run time which one it gives. One that is derived
            from the registered class is built in its place: it reads the same weights.

    Raises:
        InputError: unknown name, absent or damaged files (wrong checksum), a model of another class than ``kind``, or
            weights that do not fit the model.
    """
    weights, card_path = _find(name, weights_folder(weights_dir))
    card = ModelCard.read(card_path)
    if isinstance(name, str) and name in known_names() and card.name != name:
        raise InputError(f"{card_path}: the card is that of {card.name}, not of {name}; restore the file")
    found_class = model_class(card.name)
    if issubclass(kind, found_class):
        found_class = kind
    elif not issubclass(found_class, kind):
        raise InputError(f"{name} is a {found_class.__name__}; a {kind.__name__} is needed here, name one of those")
    config = config_from_dict(config_class(card.name), card.config, f"{card_path}: config")
    try:
        data = weights.read_bytes()
    except FileNotFoundError as error:
        raise InputError(f"{weights}: the weight file is absent; restore it or train the model again") from error
    found = hashlib.sha256(data).hexdigest()
    if found != card.sha256:
        raise InputError(
            f"{weights}: checksum is {found[:12]}…, the card says {card.sha256[:12]}…; the file is damaged or was "
            "exchanged, reinstall lyra or restore weights and card together"
        )
    try:
        stored = safetensors.torch.load(data)
    except safetensors.SafetensorError as error:
        raise InputError(f"{weights}: not a safetensors file ({error}); save the model again") from error
    with torch.random.fork_rng(devices=[]):
        module: nn.Module = found_class(config)
    module.load_state_dict(unpack(stored, module.state_dict(), str(weights)))
    return module.to(device).eval()


def list_models(weights_dir: Path | str | None = None) -> list[ModelCard]:
    """Cards of the registered models that have weights, sorted by name."""
    folder = weights_folder(weights_dir)
    paths = (_named_paths(name, folder) for name in known_names())
    return [ModelCard.read(card) for weights, card in paths if weights.is_file() and card.is_file()]


def _named_paths(name: str, folder: Path) -> tuple[Path, Path]:
    return folder / f"{name}.safetensors", folder / f"{name}.json"


def _own_paths(folder: Path) -> tuple[Path, Path]:
    return folder / "model.safetensors", folder / "card.json"


def _find(name: str | Path, folder: Path) -> tuple[Path, Path]:
    """Weight file and card of a registered name or of a model folder."""
    if isinstance(name, str) and name in known_names():
        weights, card = _named_paths(name, folder)
        if not card.is_file():
            raise InputError(
                f"{name} has no weights in {folder}; train it, or point {WEIGHTS_VARIABLE} to a folder that has them"
            )
        return weights, card
    if Path(name).is_dir():
        return _own_paths(Path(name))
    if isinstance(name, str):
        require_known(name)
    raise InputError(f"{name}: no such folder; give a folder with model.safetensors and card.json")


def _replace_together(files: Mapping[Path, bytes]) -> None:
    """Write all files beside their targets first, then rename them into place; nothing is left behind on failure."""
    written: dict[Path, Path] = {}
    try:
        for target, data in files.items():
            target.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
            written[target] = Path(temporary)
            with os.fdopen(handle, "wb") as stream:
                stream.write(data)
                stream.flush()
                os.fsync(stream.fileno())
            written[target].chmod(0o644)
        for target, temporary_path in written.items():
            temporary_path.replace(target)
    finally:
        for temporary_path in written.values():
            temporary_path.unlink(missing_ok=True)
