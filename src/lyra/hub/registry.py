"""Model names and the classes behind them; a class is imported when its model is asked for, not before."""

import importlib
from dataclasses import dataclass
from typing import Any

from lyra.structures import InputError


@dataclass(frozen=True)
class _Entry:
    model: str
    config: str


_ENTRIES = {
    "tokenizer/nano": _Entry("lyra.models.tokenizer:NanoTokenizer", "lyra.models.tokenizer:NanoTokenizerConfig"),
    "frames/nano": _Entry("lyra.models.tokenizer:FrameDecoder", "lyra.models.tokenizer:FrameDecoderConfig"),
    "teacher/nano": _Entry("lyra.models.teacher:Teacher", "lyra.models.teacher:TeacherConfig"),
    "decoder/nano": _Entry("lyra.models.decoder:GaussianDecoder", "lyra.models.decoder:DecoderConfig"),
    "depth/nano": _Entry("lyra.models.depth:DepthNet", "lyra.models.depth:DepthConfig"),
    "text/nano": _Entry("lyra.models.text:TextEncoder", "lyra.models.text:TextConfig"),
    "tokenizer/cosmos-cv8x8x8-720p": _Entry(
        "lyra.models.tokenizer:CosmosTokenizer", "lyra.models.tokenizer:CosmosTokenizerConfig"
    ),
    "teacher/gen3c-cosmos-7b": _Entry("lyra.models.teacher:PublishedTeacher", "lyra.models.teacher:TeacherConfig"),
    "decoder/lyra-static": _Entry("lyra.models.decoder:GaussianDecoder", "lyra.models.decoder:DecoderConfig"),
    "decoder/lyra-dynamic": _Entry("lyra.models.decoder:GaussianDecoder", "lyra.models.decoder:DecoderConfig"),
    "perceptual/squeeze": _Entry("lyra.models.perceptual:SqueezePerceptual", "lyra.models.perceptual:SqueezeConfig"),
}


def register(name: str, model: str, config: str) -> None:
    """Make a network known to the hub.

    Args:
        name: ``task/name``.
        model: ``module:Class`` of an ``nn.Module`` built from one config object.
        config: ``module:Class`` of that config, a dataclass.

    Raises:
        InputError: the name has not the form ``task/name`` or belongs to other classes already.
    """
    parts = name.split("/")
    if len(parts) != 2 or not all(part and part == part.strip(". ") for part in parts):
        raise InputError(f"model name {name!r}: expected the form task/name, as in tokenizer/nano")
    entry = _Entry(model, config)
    if _ENTRIES.setdefault(name, entry) != entry:
        raise InputError(f"model name {name!r} is taken by {_ENTRIES[name].model}; choose another name")


def known_names() -> tuple[str, ...]:
    """All registered model names, sorted."""
    return tuple(sorted(_ENTRIES))


def require_known(name: str) -> None:
    """Raise InputError, listing the known names, unless ``name`` is one of them."""
    if name not in _ENTRIES:
        raise InputError(f"unknown model {name!r}; known: {', '.join(known_names())}, or give a folder with card.json")


def model_class(name: str) -> Any:
    """The network class of a registered name."""
    require_known(name)
    return _imported(_ENTRIES[name].model)


def config_class(name: str) -> Any:
    """The config dataclass of a registered name."""
    require_known(name)
    return _imported(_ENTRIES[name].config)


def _imported(address: str) -> Any:
    module, _, attribute = address.partition(":")
    return getattr(importlib.import_module(module), attribute)
