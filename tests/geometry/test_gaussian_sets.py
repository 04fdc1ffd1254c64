"""Gaussians moved with a camera, by any angle."""

import math

import pytest
import torch

from lyra.geometry.bundle import rotation_from_vector
from lyra.geometry.cameras import rigid
from lyra.geometry.gaussian_sets import joined, moved, of_pixels
from lyra.raster.reference import rotation_matrices
from lyra.structures import Gaussians


def random_gaussians(count: int) -> Gaussians:
    generator = torch.Generator().manual_seed(0)
    quats = torch.nn.functional.normalize(torch.randn(count, 4, generator=generator), dim=1)
    means, colors = torch.randn(count, 3, generator=generator), torch.rand(count, 3, generator=generator)
    return Gaussians(means, quats, torch.rand(count, 3, generator=generator) + 0.1, torch.ones(count), colors)


@pytest.mark.parametrize("degrees", [0.0, 1e-3, 90.0, 179.9999, 180.0, 200.0])
@pytest.mark.parametrize("axis", [(1.0, 0.0, 0.0), (0.0, 1.0, 0.0), (0.0, 0.0, 1.0), (0.48, -0.6, 0.64)])
def test_axes_and_centres_turn_with_the_camera(degrees, axis):
    turn = rotation_from_vector(math.radians(degrees) * torch.tensor(axis, dtype=torch.float64)).float()
    c2w = rigid(turn, torch.tensor([0.3, -0.2, 5.0]))
    before = random_gaussians(50)
    after = moved(before, c2w)
    torch.testing.assert_close(after.means, before.means @ turn.T + c2w[:3, 3], atol=1e-5, rtol=1e-5)
    turned = turn @ rotation_matrices(before.quats)
    torch.testing.assert_close(rotation_matrices(after.quats), turned, atol=1e-5, rtol=0)


def test_sets_are_joined_in_order():
    one, other = random_gaussians(3), random_gaussians(2)
    both = joined(one, other)
    assert len(both) == 5 and torch.equal(both[:3].quats, one.quats) and torch.equal(both[3:].colors, other.colors)


def test_gaussians_of_pixels_are_as_large_as_pixels_at_their_depth():
    K = torch.tensor([[50.0, 0, 8], [0, 72.0, 6], [0, 0, 1]])
    z = torch.tensor([1.0, 3.0])
    made = of_pixels(torch.rand(2, 3), z, torch.rand(2, 3), K, footprint=0.5, opacity=0.7)
    # a pixel at depth z is z / fx wide and z / fy high: the side of a square of that area is z / 60
    torch.testing.assert_close(made.scales, (0.5 * z / 60)[:, None].expand(2, 3))
    torch.testing.assert_close(made.quats, torch.tensor([[1.0, 0, 0, 0]]).expand(2, 4))
    torch.testing.assert_close(made.opacities, torch.full((2,), 0.7))
