"""Tensor names of the published CV8x8x8-720p tokenizer, in both directions.

The published files name the layers as the original programme does; ``official_names.json`` lists, layer by layer, the
name in diffusers. Their decoder numbers its levels from the finest, diffusers from the coarsest. The wavelet
constants stored in the published files are dropped: they are code, not weights.
"""

import json
from collections.abc import Iterable, Mapping
from functools import cache
from importlib.resources import files

import torch
from torch import Tensor

from lyra.structures import InputError

_PREFIX = "vae."
_STATISTICS = ("latent_mean", "latent_std")


@cache
def official_names() -> dict[str, str]:
    """Published name to the name in ``CosmosTokenizer.state_dict()``, for the 310 parameters."""
    layers = _table()["layers"]
    return {f"{a}.{kind}": f"{_PREFIX}{b}.{kind}" for a, b in layers.items() for kind in ("weight", "bias")}


def bare_name(name: str) -> str | None:
    """A name in the file, ``None`` for the wavelet constants, which are code here."""
    return None if name in _table()["dropped"] else name


def from_official(state: Mapping[str, Tensor], mean: Tensor, std: Tensor) -> dict[str, Tensor]:
    """State for ``CosmosTokenizer.load_state_dict`` from the published tensors.

    Args:
        state: tensors of autoencoder.jit, or those of encoder.jit and decoder.jit together.
        mean: mean of raw latents, 16 channels x 16 latent frames in any shape of 256 values (mean_std.pt).
        std: the matching standard deviation.

    Raises:
        InputError: tensors missing or surplus, or statistics of another size.
    """
    names = official_names()
    kept = {name: tensor for name, tensor in state.items() if bare_name(name) is not None}
    _require_equal(kept, names)
    ours = {names[name]: tensor for name, tensor in kept.items()}
    channels = ours[f"{_PREFIX}quant_conv.weight"].shape[0]
    for field, value in zip(_STATISTICS, (mean, std), strict=True):
        if value.numel() == 0 or value.numel() % channels:
            raise InputError(f"tokenizer {field}: {value.numel()} values, expected 16 x 16; take mean_std.pt")
        ours[field] = value.detach().to(torch.float32).reshape(channels, -1)
    return ours


def to_official(state: Mapping[str, Tensor]) -> tuple[dict[str, Tensor], Tensor, Tensor]:
    """Published names, mean and std from ``CosmosTokenizer.state_dict()``; the inverse of ``from_official``.

    Raises:
        InputError: tensors missing or surplus.
    """
    back = {ours: theirs for theirs, ours in official_names().items()}
    _require_equal(state, [*back, *_STATISTICS])
    renamed = {back[name]: tensor for name, tensor in state.items() if name not in _STATISTICS}
    return renamed, state["latent_mean"], state["latent_std"]


@cache
def _table() -> dict[str, dict[str, str]]:
    text = files(__package__).joinpath("official_names.json").read_text(encoding="utf-8")
    table: dict[str, dict[str, str]] = json.loads(text)
    return table


def _require_equal(found: Iterable[str], wanted: Iterable[str]) -> None:
    missing, surplus = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or surplus:
        parts = [f"{len(g)} {w} ({', '.join(g[:3])}…)" for g, w in ((missing, "missing"), (surplus, "surplus")) if g]
        raise InputError(f"tokenizer checkpoint does not fit: {' and '.join(parts)}; is it CV8x8x8-720p?")
