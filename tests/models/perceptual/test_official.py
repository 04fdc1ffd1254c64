"""The published weights, read and checked against a network written down layer by layer."""

import struct

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.models.perceptual import SqueezePerceptual
from lyra.models.perceptual.official import perceptual_state, read_ncnn

# name, output channels, input channels, kernel: copied out of ncnn's squeezenet_v1.1.param.
LAYERS = [
    ("conv1", 64, 3, 3),
    ("fire2/squeeze1x1", 16, 64, 1),
    ("fire2/expand1x1", 64, 16, 1),
    ("fire2/expand3x3", 64, 16, 3),
    ("fire3/squeeze1x1", 16, 128, 1),
    ("fire3/expand1x1", 64, 16, 1),
    ("fire3/expand3x3", 64, 16, 3),
    ("fire4/squeeze1x1", 32, 128, 1),
    ("fire4/expand1x1", 128, 32, 1),
    ("fire4/expand3x3", 128, 32, 3),
    ("fire5/squeeze1x1", 32, 256, 1),
    ("fire5/expand1x1", 128, 32, 1),
    ("fire5/expand3x3", 128, 32, 3),
    ("fire6/squeeze1x1", 48, 256, 1),
    ("fire6/expand1x1", 192, 48, 1),
    ("fire6/expand3x3", 192, 48, 3),
    ("fire7/squeeze1x1", 48, 384, 1),
    ("fire7/expand1x1", 192, 48, 1),
    ("fire7/expand3x3", 192, 48, 3),
    ("fire8/squeeze1x1", 64, 384, 1),
    ("fire8/expand1x1", 256, 64, 1),
    ("fire8/expand3x3", 256, 64, 3),
    ("fire9/squeeze1x1", 64, 512, 1),
    ("fire9/expand1x1", 256, 64, 1),
    ("fire9/expand3x3", 256, 64, 3),
    ("conv10", 1000, 512, 1),
]
HEADS = (64, 128, 256, 384, 384, 512, 512)


@pytest.fixture(scope="module")
def published() -> tuple[dict[str, tuple[Tensor, Tensor]], bytes]:
    generator = torch.Generator().manual_seed(0)
    layers, data = {}, b""
    for name, outputs, inputs, kernel in LAYERS:
        weight = torch.randn(outputs, inputs, kernel, kernel, generator=generator) * (2 / (inputs * kernel**2)) ** 0.5
        bias = torch.randn(outputs, generator=generator) * 0.1
        layers[name] = (weight, bias)
        data += struct.pack("<I", 0) + weight.numpy().tobytes() + bias.numpy().tobytes()
    return layers, data


@pytest.fixture(scope="module")
def heads() -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {f"lin{i}.model.1.weight": torch.rand(1, c, 1, 1, generator=generator) for i, c in enumerate(HEADS)}


def independent_taps(layers: dict[str, tuple[Tensor, Tensor]], rgb: Tensor) -> list[Tensor]:
    def conv(x: Tensor, name: str, **options: int) -> Tensor:
        return F.conv2d(x, *layers[name], **options).relu()

    def fire(x: Tensor, number: int) -> Tensor:
        x = conv(x, f"fire{number}/squeeze1x1")
        return torch.cat([conv(x, f"fire{number}/expand1x1"), conv(x, f"fire{number}/expand3x3", padding=1)], 1)

    def pool(x: Tensor) -> Tensor:
        # Sizes round up: the windows that hang over the edge see only what is there.
        height, width = (-(-(size - 3) // 2) * 2 + 3 for size in x.shape[-2:])
        padded = F.pad(x, (0, width - x.shape[-1], 0, height - x.shape[-2]), value=-torch.inf)
        return padded.unfold(2, 3, 2).unfold(3, 3, 2).amax(dim=(4, 5))

    bgr = torch.stack([rgb[:, 2] * 255 - 104, rgb[:, 1] * 255 - 117, rgb[:, 0] * 255 - 123], dim=1)
    one = conv(bgr, "conv1", stride=2)
    three = fire(fire(pool(one), 2), 3)
    five = fire(fire(pool(three), 4), 5)
    six = fire(pool(five), 6)
    seven = fire(six, 7)
    eight = fire(seven, 8)
    return [one, three, five, six, seven, eight, fire(eight, 9)]


@torch.no_grad()
def test_converted_distance_is_that_of_the_published_network(
    published: tuple[dict[str, tuple[Tensor, Tensor]], bytes], heads: dict[str, Tensor]
) -> None:
    layers, data = published
    network = SqueezePerceptual()
    network.load_state_dict(perceptual_state(read_ncnn(data), heads))
    a, b = torch.rand(2, 2, 3, 70, 83, generator=torch.Generator().manual_seed(2))
    expected = torch.zeros(2, dtype=torch.float64)
    for index, (x, y) in enumerate(zip(independent_taps(layers, a), independent_taps(layers, b), strict=True)):
        x, y = x.double(), y.double()
        x, y = (value / (value.pow(2).sum(1, keepdim=True).sqrt() + 1e-10) for value in (x, y))
        expected += ((x - y) ** 2 * heads[f"lin{index}.model.1.weight"]).sum(1).mean(dim=(1, 2))
    torch.testing.assert_close(network(a, b).double(), expected, rtol=1e-4, atol=1e-6)


def test_damaged_files_are_refused(published: tuple[dict[str, tuple[Tensor, Tensor]], bytes]) -> None:
    data = published[1]
    with pytest.raises(ValueError, match="ends inside classifier"):
        read_ncnn(data[:-4])
    with pytest.raises(ValueError, match="4 bytes left over"):
        read_ncnn(data + bytes(4))
    with pytest.raises(ValueError, match="stem is not stored as float32"):
        read_ncnn(struct.pack("<I", 0x01306B47) + data[4:])


def test_heads_of_another_network_are_refused(
    published: tuple[dict[str, tuple[Tensor, Tensor]], bytes], heads: dict[str, Tensor]
) -> None:
    layers = read_ncnn(published[1])
    with pytest.raises(ValueError, match="heads"):
        perceptual_state(layers, {name: head for name, head in heads.items() if not name.startswith("lin6")})
    with pytest.raises(ValueError, match="heads"):
        perceptual_state(layers, {name: head - 1 for name, head in heads.items()})
