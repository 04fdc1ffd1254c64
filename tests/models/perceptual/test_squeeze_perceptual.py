"""The perceptual distance, with the embedded weights."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from PIL import Image
from torch import Tensor

from lyra.hub import load_model
from lyra.models.perceptual import SqueezePerceptual
from lyra.models.perceptual.backbone import TAP_CHANNELS

PHOTOS = Path(__file__).parents[3] / "examples" / "photos" / "eval"


def photo(name: str, size: tuple[int, int] = (224, 128)) -> Tensor:
    picture = Image.open(PHOTOS / f"{name}.jpg").convert("RGB").resize(size, Image.Resampling.BICUBIC)
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None] / 255


def blurred(rgb: Tensor, sigma: float) -> Tensor:
    offsets = torch.arange(-12, 13.0)
    kernel = torch.exp(-0.5 * (offsets / sigma) ** 2)
    kernel = (kernel / kernel.sum()).view(1, 1, 1, -1).expand(3, 1, 1, -1)
    padded = F.pad(rgb, (12, 12, 12, 12), mode="reflect")
    return F.conv2d(F.conv2d(padded, kernel, groups=3), kernel.mT, groups=3)


@pytest.fixture(scope="module")
def network() -> SqueezePerceptual:
    return load_model("perceptual/squeeze")


@pytest.fixture(scope="module")
def stream() -> Tensor:
    return photo("forest_stream")


@torch.no_grad()
def test_equal_pictures_have_no_distance_and_order_does_not_matter(network: SqueezePerceptual, stream: Tensor) -> None:
    cat = photo("cat")
    assert float(network(stream, stream)) == 0
    assert float(network(stream, cat)) > 0.3
    torch.testing.assert_close(network(stream, cat), network(cat, stream), rtol=1e-5, atol=0)


@torch.no_grad()
def test_grows_with_blur(network: SqueezePerceptual, stream: Tensor) -> None:
    sharp = stream.expand(4, -1, -1, -1)
    distances = network(sharp, torch.cat([blurred(stream, sigma) for sigma in (0.5, 1.0, 2.0, 4.0)]))
    assert (distances.diff() > 0.02).all() and distances[0] > 0.005


@torch.no_grad()
def test_grows_with_noise(network: SqueezePerceptual, stream: Tensor) -> None:
    noise = torch.randn(stream.shape, generator=torch.Generator().manual_seed(0))
    noisy = torch.cat([(stream + level * noise).clamp(0, 1) for level in (0.01, 0.03, 0.1, 0.3)])
    distances = network(stream.expand(4, -1, -1, -1), noisy)
    assert (distances.diff() > 0.01).all() and distances[0] > 0.001


@torch.no_grad()
def test_a_small_shift_is_noticed_but_less_than_heavy_blur(network: SqueezePerceptual) -> None:
    wide = photo("forest_stream", (240, 128))
    here = wide[..., 8:232]
    shifted = [float(network(here, wide[..., 8 + step : 232 + step])) for step in (1, 2, 4)]
    assert 0.005 < shifted[0] < shifted[1] < shifted[2]
    # Squared error prefers the blur to the shift; this distance must not.
    soft, moved = blurred(here, 4.0), wide[..., 12:236]
    assert (here - moved).square().mean() > 1.5 * (here - soft).square().mean()
    assert shifted[2] < 0.5 * float(network(here, soft))


@torch.no_grad()
def test_spatial_map_is_large_where_the_pictures_differ(network: SqueezePerceptual, stream: Tensor) -> None:
    damaged = stream.clone()
    damaged[..., 40:88, 150:200] = blurred(stream, 4.0)[..., 40:88, 150:200]
    distance = network.spatial(stream, damaged)
    assert distance.shape == (1, 128, 224)
    assert distance[:, 48:80, 158:192].mean() > 10 * distance[:, :, :80].mean()
    # Both average the same maps, up to the interpolation at the border.
    torch.testing.assert_close(distance.mean(), network(stream, damaged)[0], rtol=0.15, atol=0)


@torch.no_grad()
def test_mask_limits_the_distance(network: SqueezePerceptual, stream: Tensor) -> None:
    damaged = stream.clone()
    damaged[..., 150:] = 0.5
    full, empty, left, right = torch.zeros(4, 1, 128, 224, dtype=torch.bool)
    full[:] = True
    left[..., :90] = True
    right[..., 150:] = True
    torch.testing.assert_close(network(stream, damaged, full), network(stream, damaged))
    assert float(network(stream, damaged, empty)) == 0
    assert network(stream, damaged, right) > 1.5 * network(stream, damaged) > 20 * network(stream, damaged, left)


@torch.no_grad()
def test_features_have_unit_length(network: SqueezePerceptual, stream: Tensor) -> None:
    features = network.features(stream)
    assert tuple(x.shape[1] for x in features) == TAP_CHANNELS
    for x in features:
        length = x.norm(dim=1)
        assert (length < 1 + 1e-5).all() and length.median() > 0.999


def test_gradient_flows_to_the_first_picture_only_and_descends(network: SqueezePerceptual, stream: Tensor) -> None:
    soft = blurred(stream, 2.0).requires_grad_()
    before = network(soft, stream)
    before.sum().backward()
    assert soft.grad is not None and soft.grad.isfinite().all() and soft.grad.abs().sum() > 0
    step = soft.detach() - 0.02 * soft.grad / soft.grad.abs().max()
    assert network(step, stream) < before
    assert all(not parameter.requires_grad for parameter in network.parameters())


def test_empty_features_give_finite_gradients(network: SqueezePerceptual) -> None:
    flat = torch.zeros(1, 3, 64, 64, requires_grad=True)
    network(flat, flat.detach()).sum().backward()
    assert flat.grad is not None and flat.grad.isfinite().all()


@torch.no_grad()
def test_works_under_bfloat16_autocast(network: SqueezePerceptual, stream: Tensor) -> None:
    soft = blurred(stream, 2.0)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        distance = network(stream, soft)
    assert distance.dtype == torch.float32
    torch.testing.assert_close(distance, network(stream, soft), rtol=0.03, atol=0)


@pytest.mark.parametrize("shape", [(1, 3, 16, 64), (3, 64, 64), (1, 4, 64, 64)])
def test_other_shapes_are_refused(network: SqueezePerceptual, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected"):
        network(torch.zeros(shape), torch.zeros(shape))


def test_pictures_of_two_shapes_are_refused(network: SqueezePerceptual) -> None:
    with pytest.raises(ValueError, match="one shape"):
        network(torch.zeros(1, 3, 64, 64), torch.zeros(1, 3, 64, 96))
