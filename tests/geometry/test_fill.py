import pytest
import torch
from scipy.ndimage import distance_transform_edt

from lyra.geometry import fill_nearest, fill_pyramid
from lyra.geometry.fill import fill_trusted, outer_holes


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


def test_trusted_pixels_fill_a_hole_up_to_its_other_side():
    values = torch.ones(1, 1, 32, 32)  # to the left of a gap of ten columns is what nobody trusts
    values[..., 16:] = 0.0
    mask = torch.ones(1, 32, 32, dtype=torch.bool)
    mask[..., 10:20] = False
    trust = torch.ones(1, 32, 32)
    trust[..., :10] = 0.001
    filled = fill_trusted(values, mask, trust)
    assert (filled[0, 0, 8:24, 10:20] < 0.05).all()
    assert torch.equal(filled[..., :10], values[..., :10]), "what is not trusted stays where it is"
    evenly = fill_trusted(values, mask, torch.ones(1, 32, 32))
    assert (evenly[0, 0, 8:24, 10] > 0.8).all() and (evenly[0, 0, 8:24, 19] < 0.2).all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (17, 23), (1, 9), (1, 1)])
def test_trusted_filling_keeps_known_pixels_and_a_constant(height, width):
    values, mask = holes(3, height, width, 0.15)
    mask[:, 0, 0] = True
    trust = torch.rand(3, height, width, generator=torch.Generator().manual_seed(4)).clamp(min=1e-3)
    constant = torch.where(mask[:, None], torch.full_like(values, 0.7), torch.nan)
    assert torch.allclose(fill_trusted(constant, mask, trust), torch.full_like(values, 0.7), atol=1e-5)
    known = mask[:, None].expand_as(values)
    assert torch.equal(fill_trusted(values, mask, trust)[known], values[known])
    mask[0] = False
    assert fill_trusted(values, mask, trust)[0].abs().max() == 0


def test_outer_holes_reach_the_border_and_inner_ones_do_not():
    mask = torch.ones(1, 8, 9, dtype=torch.bool)
    mask[0, 2:4, :3] = False
    mask[0, 5:7, 4:6] = False
    mask[0, 0, 8] = False
    expected = torch.zeros_like(mask)
    expected[0, 2:4, :3] = True
    expected[0, 0, 8] = True
    assert torch.equal(outer_holes(mask), expected)
