"""Networks that a task builds on or starts from."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import torch
from torch import nn

from lyra.hub import ModelCard, config_from_dict, list_models, load_model
from lyra.hub.registry import config_class, model_class
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig, NanoTokenizer, Tokenizer
from lyra.structures import InputError
from lyra.training.checkpoint import LATEST, UNREADABLE
from lyra.training.options import TrainOptions
from lyra.training.recipes import Recipe

if TYPE_CHECKING:
    from _typeshed import DataclassInstance

_Network = TypeVar("_Network", bound=nn.Module)
_Config = TypeVar("_Config", bound="DataclassInstance")

INNER = {"text/nano": "encoder.", "frames/nano": "decoder."}
"""Networks that are a part of what is trained, and what the names of that part begin with."""


def load_part(name: str, kind: type[_Network], options: TrainOptions, device: torch.device) -> _Network:
    """The network ``name`` out of ``options.models`` where it lies there, else the one that ships inside.

    Raises:
        InputError: ``options.models`` is no folder, or the network is absent or damaged.
    """
    folder = options.models
    if folder is not None and not folder.is_dir():
        raise InputError(f"models {folder} is not a folder; give one that holds task/name.safetensors, or leave it out")
    own = folder is not None and name in {card.name for card in list_models(folder)}
    return load_model(name, device, folder if own else None, kind=kind)


def load_frame_decoder(tokenizer: Tokenizer, options: TrainOptions, device: torch.device) -> FrameDecoder | None:
    """What makes pixels of a tokenizer's latents beside its own decoder: there is one for the nano tokenizer.

    Raises:
        InputError: as `load_part`, or the decoder is another tokenizer's.
    """
    if tokenizer.name != NanoTokenizer.name:
        return None
    decoder = load_part("frames/nano", FrameDecoder, options, device)
    require_frames_of(decoder.config, tokenizer)
    return decoder


def load_teacher(tokenizer: Tokenizer, options: TrainOptions, device: torch.device) -> Teacher:
    """The teacher that imagines the latents of a tokenizer.

    Raises:
        InputError: as `load_part`, or the teacher is another tokenizer's.
    """
    teacher = load_part("teacher/nano", Teacher, options, device)
    require_latents_of(teacher.config, tokenizer)
    return teacher


def require_latents_of(teacher: TeacherConfig, tokenizer: Tokenizer) -> None:
    """Refuse a teacher that imagines latents of another form than a tokenizer makes.

    Raises:
        InputError: another number of channels, or of pictures per latent frame.
    """
    _require_form("teacher", teacher.latent_channels, teacher.mask_channels, tokenizer)


def require_frames_of(decoder: FrameDecoderConfig, tokenizer: Tokenizer) -> None:
    """Refuse a frame decoder that reads latents of another form than a tokenizer makes.

    Raises:
        InputError: another number of channels, or of pictures per latent frame.
    """
    _require_form("frame decoder", decoder.latent_channels, decoder.patch * decoder.temporal_merge, tokenizer)


def _require_form(name: str, channels: int, temporal: int, tokenizer: Tokenizer) -> None:
    if (channels, temporal) != (tokenizer.channels, tokenizer.temporal):
        raise InputError(
            f"the {name} knows latents of {channels} channels for {temporal} pictures, the tokenizer makes "
            f"{tokenizer.channels} channels for {tokenizer.temporal}; give a {name} that was trained with this "
            "tokenizer, beside it in the folder of --models or with --init"
        )


def shaped(config: _Config, recipe: Recipe) -> _Config:
    """A configuration with the numbers that a recipe sets."""
    return replace(config, **recipe.shape)


def require_shape(config: Any, recipe: Recipe, given: str) -> None:
    """Refuse to start from a network of another shape than the recipe's.

    Raises:
        InputError: the first number that differs.
    """
    for name, value in recipe.shape.items():
        found = getattr(config, name)
        if found != value:
            raise InputError(
                f"the recipe {recipe.name} has {name} {value}, {given} has {found}; leave --init out, or take the "
                "recipe nano, which goes on with any shape"
            )


def load_start(given: str, kind: type[_Network]) -> _Network:
    """The network that training starts from, on the CPU.

    Args:
        given: a registered name, a model folder, a folder that holds packed networks, a checkpoint file, or the folder
            of a run, of which the newest checkpoint is read. Of checkpoints the averaged weights are taken.
        kind: the class that is needed.

    Raises:
        InputError: nothing there, damaged, or a network of another class.
    """
    path = Path(given)
    if path.is_file():
        return _from_checkpoint(_read(path), given, kind)
    if path.is_dir():
        if (path / LATEST).is_file():
            return _from_checkpoint(_read(path / LATEST), given, kind)
        fitting = [card.name for card in list_models(path) if issubclass(model_class(card.name), kind)]
        if fitting:
            return load_model(fitting[0], weights_dir=path, kind=kind)
    return load_model(given, kind=kind)


def seed_of_start(given: str, task: str) -> int | None:
    """The seed that a task's network was trained with, from which `load_start` starts; ``None`` if none is said."""
    path = Path(given)
    checkpoint = path / LATEST if path.is_dir() else path
    if checkpoint.is_file():
        return int(_read(checkpoint)["options"].get("seed", 0))
    if (path / "card.json").is_file():
        return ModelCard.read(path / "card.json").seed
    if path.is_dir():
        seeds = [card.seed for card in list_models(path) if card.name.startswith(f"{task}/")]
    else:
        seeds = [card.seed for card in list_models() if card.name == given]
    return seeds[0] if seeds else None


def _read(path: Path) -> dict[str, Any]:
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        state["network"], state["average"], state["config"], state["options"]["task"]
    except (*UNREADABLE, TypeError) as fault:
        raise InputError(f"{path} is no checkpoint of a run that can be read; give another file or a folder") from fault
    return state


def _from_checkpoint(state: dict[str, Any], given: str, kind: type[_Network]) -> _Network:
    name = f"{state['options']['task']}/nano"
    found = model_class(name)
    if not issubclass(found, kind):
        raise InputError(f"{given} is a {found.__name__}; a {kind.__name__} is needed here, name one of those")
    with torch.random.fork_rng(devices=[]):
        network: _Network = found(config_from_dict(config_class(name), state["config"], f"{given}: config"))
    weights = state["network"] | state["average"]
    inner = INNER.get(name, "")
    network.load_state_dict({key.removeprefix(inner): value for key, value in weights.items() if key.startswith(inner)})
    return network
