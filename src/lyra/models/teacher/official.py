"""Tensor names of the published GEN3C-Cosmos-7B checkpoint, in both directions."""

from collections.abc import Iterable

from torch import Tensor

from lyra.structures import InputError

_WHOLE = {
    "x_embedder.proj.1.weight": "backbone.patch_embed.proj.weight",
    "extra_pos_embedder.pos_emb_h": "backbone.learnable_pos_embed.pos_emb_h",
    "extra_pos_embedder.pos_emb_w": "backbone.learnable_pos_embed.pos_emb_w",
    "extra_pos_embedder.pos_emb_t": "backbone.learnable_pos_embed.pos_emb_t",
    "t_embedder.1.linear_1.weight": "backbone.time_embed.t_embedder.linear_1.weight",
    "t_embedder.1.linear_2.weight": "backbone.time_embed.t_embedder.linear_2.weight",
    "affline_norm.weight": "backbone.time_embed.norm.weight",
    "final_layer.linear.weight": "backbone.proj_out.weight",
    "final_layer.adaLN_modulation.1.weight": "backbone.norm_out.linear_1.weight",
    "final_layer.adaLN_modulation.2.weight": "backbone.norm_out.linear_2.weight",
}
_ATTENTION = {
    "to_q.0": "to_q",
    "to_q.1": "norm_q",
    "to_k.0": "to_k",
    "to_k.1": "norm_k",
    "to_v.0": "to_v",
    "to_out.0": "to_out.0",
}
_IGNORED_PREFIXES = ("logvar.",)
_IGNORED_NAMES = ("pos_embedder.seq",)
_IGNORED_SUFFIX = "_extra_state"


def official_names(layers: int) -> dict[str, str]:
    """Official name (without the ``net.`` prefix) to the name in ``Teacher.state_dict()``, for ``layers`` blocks."""
    names = dict(_WHOLE)
    for block in range(layers):
        theirs, ours = f"blocks.block{block}.blocks", f"backbone.transformer_blocks.{block}"
        for part in range(2):
            for a, b in _ATTENTION.items():
                names[f"{theirs}.{part}.block.attn.{a}.weight"] = f"{ours}.attn{part + 1}.{b}.weight"
        names[f"{theirs}.2.block.layer1.weight"] = f"{ours}.ff.net.0.proj.weight"
        names[f"{theirs}.2.block.layer2.weight"] = f"{ours}.ff.net.2.weight"
        for part in range(3):
            for linear in (1, 2):
                names[f"{theirs}.{part}.adaLN_modulation.{linear}.weight"] = (
                    f"{ours}.norm{part + 1}.linear_{linear}.weight"
                )
    return names


def bare_name(name: str) -> str | None:
    """A name in the file without its ``net.`` prefix, ``None`` for the documented leftovers that no network needs."""
    name = name.removeprefix("net.")
    leftover = name in _IGNORED_NAMES or name.startswith(_IGNORED_PREFIXES) or name.endswith(_IGNORED_SUFFIX)
    return None if leftover else name


def file_name(bare: str) -> str:
    """A name as the published file has it."""
    return f"net.{bare}"


def from_official(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename a published state dict; the ``net.`` prefix and the documented leftovers are dropped.

    Raises:
        InputError: a tensor is missing or surplus; the names are listed.
    """
    kept = {bare: tensor for name, tensor in state.items() if (bare := bare_name(name)) is not None}
    names = official_names(layers)
    _require_equal(kept, names)
    return {names[name]: tensor for name, tensor in kept.items()}


def to_official(state: dict[str, Tensor], layers: int) -> dict[str, Tensor]:
    """Rename ``Teacher.state_dict()`` to the published names, with their ``net.`` prefix.

    Raises:
        InputError: a tensor is missing or surplus.
    """
    back = {ours: theirs for theirs, ours in official_names(layers).items()}
    _require_equal(state, back)
    return {file_name(back[name]): tensor for name, tensor in state.items()}


def _require_equal(found: Iterable[str], wanted: Iterable[str]) -> None:
    missing, surplus = sorted(set(wanted) - set(found)), sorted(set(found) - set(wanted))
    if missing or surplus:
        parts = [f"{len(g)} {w} ({', '.join(g[:3])}…)" for g, w in ((missing, "missing"), (surplus, "surplus")) if g]
        raise InputError(f"teacher checkpoint does not fit: {' and '.join(parts)}; is it GEN3C-Cosmos-7B?")
