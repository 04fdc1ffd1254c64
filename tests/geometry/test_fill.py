import pytest
import torch
from scipy.ndimage import distance_transform_edt

from lyra.geometry import fill_nearest, fill_pyramid


def holes(batch: int, height: int, width: int, share: float = 0.1, seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    values = torch.rand(batch, 2, height, width, generator=generator)
    mask = torch.rand(batch, height, width, generator=generator) < share
    return values, mask


@pytest.mark.parametrize(("height", "width", "share"), [(19, 27, 0.05), (33, 8, 0.2), (16, 16, 0.01), (1, 9, 0.3)])
def test_nearest_takes_a_pixel_at_the_least_distance(height, width, share):
    values, mask = holes(3, height, width, share)
    mask[:, height // 2, width // 3] = True
    rows, columns = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    places = torch.stack([rows, columns]).float().expand(3, -1, -1, -1)
    filled = fill_nearest(places, mask)
    taken = filled.long()
    for b in range(3):
        assert mask[b][taken[b, 0], taken[b, 1]].all()
        distance = (taken[b, 0] - rows).square() + (taken[b, 1] - columns).square()
        expected = torch.from_numpy(distance_transform_edt(~mask[b].numpy())).square().round().long()
        assert torch.equal(distance, expected)
    kept = fill_nearest(values, mask)
    assert torch.equal(kept[mask[:, None].expand_as(values)], values[mask[:, None].expand_as(values)])


def test_nearest_leaves_an_item_without_valid_pixels_alone():
    values, mask = holes(2, 6, 7)
    mask[0] = False
    mask[1, 0, 0] = True
    assert torch.equal(fill_nearest(values, mask)[0], values[0])


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (1, 9), (5, 1), (1, 1)])
def test_pyramid_keeps_known_pixels_and_a_constant(height, width):
    values, mask = holes(3, height, width, 0.15)
    mask[:, 0, 0] = True
    constant = torch.where(mask[:, None], torch.full_like(values, 0.7), torch.nan)
    assert torch.allclose(fill_pyramid(constant, mask.float()), torch.full_like(values, 0.7))
    filled = fill_pyramid(values, mask.float())
    known = mask[:, None].expand_as(values)
    assert torch.equal(filled[known], values[known])
    for b in range(3):
        assert filled[b, 0].min() >= values[b, 0][mask[b]].min() - 1e-6
        assert filled[b, 0].max() <= values[b, 0][mask[b]].max() + 1e-6


def test_pyramid_weighs_by_confidence():
    values = torch.zeros(1, 1, 4, 4)
    weights = torch.zeros(1, 4, 4)
    values[0, 0, 0, 0], weights[0, 0, 0] = 1.0, 3.0
    values[0, 0, 1, 1], weights[0, 1, 1] = 0.0, 1.0
    filled = fill_pyramid(values, weights)
    assert filled[0, 0, 3, 3] == pytest.approx(0.75)  # only the weighted mean reaches the far corner
    assert filled[0, 0, 0, 0] == 1


def test_pyramid_is_smooth_and_local():
    ramp = torch.linspace(0, 1, 64).expand(1, 1, 64, 64)
    _, mask = holes(1, 64, 64, 0.25)
    error = (fill_pyramid(ramp, mask.float()) - ramp).abs()
    assert error.max() < 0.15
    assert error.mean() < 0.012


def test_pyramid_gives_zero_without_any_weight():
    values, mask = holes(2, 9, 5)
    mask[0] = False
    mask[1] = True
    filled = fill_pyramid(values, mask)
    assert filled[0].abs().max() == 0
    assert torch.equal(filled[1], values[1])
