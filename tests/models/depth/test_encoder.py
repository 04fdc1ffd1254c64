"""The encoder against a network written down from the published table, under the published tensor names."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.models.depth.encoder import FEATURE_CHANNELS, EfficientNetLite0, SameConv2d
from lyra.models.depth.official import encoder_names, encoder_state

# kernel, stride, expansion, inputs, outputs of the sixteen blocks.
BLOCKS = [
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
    (5, 2, 6, 112, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (5, 1, 6, 192, 192),
    (3, 1, 6, 192, 320),
]
LAST_OF_STRIDE = (0, 2, 4, 10, 15)


def published_state() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    state: dict[str, Tensor] = {}

    def conv(name: str, outputs: int, inputs: int, kernel: int) -> None:
        spread = (2 / (inputs * kernel**2)) ** 0.5
        state[f"{name}.weight"] = torch.randn(outputs, inputs, kernel, kernel, generator=generator) * spread

    def norm(name: str, channels: int) -> None:
        state[f"{name}.weight"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.bias"] = torch.randn(channels, generator=generator) * 0.2
        state[f"{name}.running_mean"] = torch.randn(channels, generator=generator) * 0.2
        state[f"{name}.running_var"] = torch.rand(channels, generator=generator) + 0.5
        state[f"{name}.num_batches_tracked"] = torch.tensor(7)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    for index, (kernel, _, expansion, inputs, outputs) in enumerate(BLOCKS):
        hidden, block = inputs * expansion, f"_blocks.{index}"
        if expansion > 1:
            conv(f"{block}._expand_conv", hidden, inputs, 1)
            norm(f"{block}._bn0", hidden)
        conv(f"{block}._depthwise_conv", hidden, 1, kernel)
        norm(f"{block}._bn1", hidden)
        conv(f"{block}._project_conv", outputs, hidden, 1)
        norm(f"{block}._bn2", outputs)
    conv("_conv_head", 1280, 320, 1)
    norm("_bn1", 1280)
    state["_fc.weight"], state["_fc.bias"] = torch.zeros(1000, 1280), torch.zeros(1000)
    return state


def same_conv(x: Tensor, weight: Tensor, stride: int, groups: int) -> Tensor:
    """Each output by its definition: a full convolution on a widely padded picture, read at the right places."""
    kernel = weight.shape[-1]
    starts = []
    for size in x.shape[-2:]:
        outputs = -(-size // stride)
        before = max((outputs - 1) * stride + kernel - size, 0) // 2
        starts.append([kernel - before + stride * index for index in range(outputs)])
    dense = F.conv2d(F.pad(x, (kernel,) * 4), weight, groups=groups)
    return dense[..., starts[0], :][..., starts[1]]


def independent_features(state: dict[str, Tensor], x: Tensor) -> list[Tensor]:
    def norm(x: Tensor, name: str) -> Tensor:
        mean, var, gain, offset = (
            state[f"{name}.{part}"][:, None, None] for part in ("running_mean", "running_var", "weight", "bias")
        )
        return (x - mean) / (var + 1e-3).sqrt() * gain + offset

    x = norm(same_conv(x, state["_conv_stem.weight"], 2, 1), "_bn0").clamp(0, 6)
    features = []
    for index, (_, stride, expansion, inputs, outputs) in enumerate(BLOCKS):
        block, shortcut = f"_blocks.{index}", x
        if expansion > 1:
            x = norm(same_conv(x, state[f"{block}._expand_conv.weight"], 1, 1), f"{block}._bn0").clamp(0, 6)
        weight = state[f"{block}._depthwise_conv.weight"]
        x = norm(same_conv(x, weight, stride, len(weight)), f"{block}._bn1").clamp(0, 6)
        x = norm(same_conv(x, state[f"{block}._project_conv.weight"], 1, 1), f"{block}._bn2")
        if stride == 1 and inputs == outputs:
            x = x + shortcut
        if index in LAST_OF_STRIDE:
            features.append(x)
    return features


@torch.no_grad()
def test_converted_encoder_is_the_published_network() -> None:
    state = published_state()
    encoder = EfficientNetLite0().eval()
    encoder.load_state_dict(encoder_state(state))
    rgb = torch.randn(1, 3, 64, 96, generator=torch.Generator().manual_seed(1))
    ours, theirs = encoder(rgb), independent_features(state, rgb)
    for stride, channels, mine, independent in zip((2, 4, 8, 16, 32), FEATURE_CHANNELS, ours, theirs, strict=True):
        assert mine.shape == (1, channels, 64 // stride, 96 // stride)
        torch.testing.assert_close(mine, independent, rtol=1e-3, atol=1e-4)


def test_names_are_complete_and_unique() -> None:
    state = published_state()
    names = encoder_names(state)
    left_out = {name for name in state if name not in names}
    assert {name.split(".")[0] for name in left_out} == {"_conv_head", "_bn1", "_fc"}
    assert set(names.values()) == set(EfficientNetLite0().state_dict())
    assert len(set(names.values())) == len(names)


@pytest.mark.parametrize("name", ["_blocks.16._bn0.weight", "_blocks.0._se_reduce.weight", "features.0.weight"])
def test_unknown_names_are_refused(name: str) -> None:
    with pytest.raises(ValueError, match="unknown tensor"):
        encoder_names({name: torch.zeros(1)})


@pytest.mark.parametrize(("size", "kernel", "left"), [(8, 3, 0), (9, 3, 1), (8, 5, 1), (9, 5, 2)])
@torch.no_grad()
def test_padding_puts_the_odd_pixel_last(size: int, kernel: int, left: int) -> None:
    conv = SameConv2d(1, 1, kernel, stride=2)
    conv.weight[:] = 0
    conv.weight[..., 0, 0] = 1  # copies the top left pixel of each window
    row = torch.arange(1.0, size + 1).expand(1, 1, size, size)
    first = conv(row)[0, 0, -1]
    expected = [2 * index - left + 1 if 2 * index - left >= 0 else 0 for index in range(-(-size // 2))]
    assert first.tolist() == expected
