"""Names of the released weights, both ways, and nothing else that is foreign."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lyra.models.decoder.model import GaussianDecoder
from lyra.structures import InputError

PARTS = (  # (name in the released files, name here)
    ("enc_blocks.", "trunk.blocks."),
    ("enc_norm.", "trunk.norm."),
    ("patch_embed.", "embed_latents."),
    ("patch_plucker_embed.", "embed_rays."),
    ("patch_time_embed_tgt.", "embed_target_time."),
    ("patch_time_embed.", "embed_source_time."),
    ("deconv.", "head.deconv."),
)
SCANS = (".mamba.mamba_scans.", ".mamba.scans.")


def native_name(official: str) -> str:
    """Name of a tensor in ``GaussianDecoder``.

    Raises:
        InputError: no part of the decoder has such a tensor.
    """
    for theirs, ours in PARTS:
        if official.startswith(theirs):
            return ours + official.removeprefix(theirs).replace(*SCANS)
    raise InputError(f"tensor {official!r} is not part of the Gaussian decoder: is this another network's file?")


def official_name(native: str) -> str:
    """Name of a tensor in the released files.

    Raises:
        InputError: the released decoder has no such tensor.
    """
    for theirs, ours in PARTS:
        if native.startswith(ours):
            return theirs + native.removeprefix(ours).replace(SCANS[1], SCANS[0])
    raise InputError(f"tensor {native!r} has no counterpart in the released decoder: only official configs convert")


def tensors_of_checkpoint(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """The decoder's tensors in a loaded file: under "module" beside training state, or the file itself.

    Raises:
        InputError: what should be tensors is something else.
    """
    tensors = checkpoint.get("module", checkpoint)
    if not isinstance(tensors, Mapping) or not all(isinstance(value, Tensor) for value in tensors.values()):
        raise InputError("checkpoint holds no tensors under 'module': give lyra_static.pt or lyra_dynamic.pt")
    return dict(tensors)


def load_official(decoder: GaussianDecoder, checkpoint: Mapping[str, Any]) -> None:
    """Copy released weights into a decoder, strictly.

    Raises:
        InputError: a tensor is missing, surplus or of another shape; the message names it.
    """
    state = {native_name(name): tensor for name, tensor in tensors_of_checkpoint(checkpoint).items()}
    own = decoder.state_dict()
    missing = [official_name(name) for name in own if name not in state]
    surplus = [official_name(name) for name in state if name not in own]
    shapes = [
        f"{official_name(name)} {list(state[name].shape)} instead of {list(own[name].shape)}"
        for name in own
        if name in state and state[name].shape != own[name].shape
    ]
    faults = [
        f"{len(names)} {kind} ({', '.join(names[:3])}{', …' if len(names) > 3 else ''})"
        for kind, names in (("missing", missing), ("surplus", surplus), ("of another shape", shapes))
        if names
    ]
    if faults:
        raise InputError(f"decoder weights do not fit: tensors {'; '.join(faults)}; use the config of these weights")
    decoder.load_state_dict(state)


def to_official(decoder: GaussianDecoder) -> dict[str, Tensor]:
    """The decoder's tensors under the released names."""
    return {official_name(name): tensor for name, tensor in decoder.state_dict().items()}
