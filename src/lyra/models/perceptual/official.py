"""Published forms of the weights: SqueezeNet v1.1 as ncnn stores it, and the heads of LPIPS."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyra.models.perceptual.backbone import FIRES, STEM_CHANNELS, TAP_CHANNELS

CLASSES = 1000
_EXPECTED = "expected squeezenet_v1.1.bin of ncnn"


@dataclass(frozen=True)
class Convolution:
    """One convolution of the published file.

    Attributes:
        weight: [O, I, k, k] float32.
        bias: [O] float32.
    """

    weight: Tensor
    bias: Tensor


def convolution_shapes() -> dict[str, tuple[int, int, int, int]]:
    """Our name and the weight shape of each convolution in the order of the published file, ``classifier`` last."""
    shapes = {"stem": (STEM_CHANNELS, 3, 3, 3)}
    inputs = STEM_CHANNELS
    for index, (squeezed, outputs) in enumerate(FIRES):
        shapes[f"fires.{index}.squeeze"] = (squeezed, inputs, 1, 1)
        shapes[f"fires.{index}.expand1x1"] = (outputs // 2, squeezed, 1, 1)
        shapes[f"fires.{index}.expand3x3"] = (outputs // 2, squeezed, 3, 3)
        inputs = outputs
    shapes["classifier"] = (CLASSES, inputs, 1, 1)
    return shapes


def read_ncnn(data: bytes) -> dict[str, Convolution]:
    """Read ``squeezenet_v1.1.bin``: per convolution a zero word that means float32, the weights, the biases.

    Raises:
        ValueError: a convolution is stored in another form, or the file ends too early or too late.
    """
    layers = {}
    position = 0
    for name, shape in convolution_shapes().items():
        size, outputs = int(np.prod(shape)), shape[0]
        end = position + 4 * (1 + size + outputs)
        if end > len(data):
            raise ValueError(f"SqueezeNet weights: the file ends inside {name}; {_EXPECTED}")
        if data[position : position + 4] != bytes(4):
            raise ValueError(f"SqueezeNet weights: {name} is not stored as float32; {_EXPECTED}")
        values = torch.from_numpy(np.frombuffer(data, "<f4", size + outputs, position + 4).astype(np.float32))
        layers[name] = Convolution(values[:size].view(shape), values[size:])
        position = end
    if position != len(data):
        raise ValueError(f"SqueezeNet weights: {len(data) - position} bytes left over; {_EXPECTED}")
    return layers


def perceptual_state(layers: Mapping[str, Convolution], heads: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """State dict of `SqueezePerceptual`.

    The published network takes blue first; here the first convolution is turned to take red first.

    Args:
        layers: from `read_ncnn`.
        heads: state dict ``weights/v0.1/squeeze.pth`` of the package lpips, [1, C, 1, 1] each.

    Raises:
        ValueError: the heads are not those of SqueezeNet, or one is negative.
    """
    state = {}
    for name, layer in layers.items():
        if name == "classifier":
            continue
        state[f"backbone.{name}.weight"] = layer.weight.flip(1) if name == "stem" else layer.weight
        state[f"backbone.{name}.bias"] = layer.bias
    expected = {f"lin{index}.model.1.weight": (1, channels, 1, 1) for index, channels in enumerate(TAP_CHANNELS)}
    found = {name: tuple(head.shape) for name, head in heads.items()}
    if found != expected or any(bool((head < 0).any()) for head in heads.values()):
        raise ValueError(f"LPIPS heads: expected {expected}, none negative, got {found}")
    for index, name in enumerate(expected):
        state[f"heads.{index}"] = heads[name].flatten()
    return state
