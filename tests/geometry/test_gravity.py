"""Gravity against cameras whose tilt is known."""

import math

import pytest
import torch
from known_tilt import FOCAL, HEIGHT, NO_SKY, WIDTH, down, ground_and_wall, rays
from torch import Tensor

from lyra.geometry.gravity import find_gravity


def pillars(gravity: Tensor) -> Tensor:
    """[3, H, W] a picture of upright stripes."""
    ahead = torch.nn.functional.normalize(torch.tensor([0.0, 0.0, 1.0]) - gravity[2] * gravity, dim=0)
    aside = torch.linalg.cross(gravity, ahead)
    towards = rays() @ torch.stack([aside, ahead], dim=1)
    stripe = (towards[..., 0] / towards[..., 1] * 60).sin() * 6
    return stripe.clamp(-1, 1).mul(0.3).add(0.5).expand(3, HEIGHT, WIDTH)


def angle(first: Tensor, second: Tensor) -> float:
    return math.degrees(torch.linalg.cross(first, second).norm().asin())


FLAT = torch.full((3, HEIGHT, WIDTH), 0.5)


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (8, 0), (3, 3), (25, -6), (45, 0)])
def test_the_ground_tells(pitch, roll):
    gravity = down(pitch, roll)
    noise = torch.randn(HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    noisy = ground_and_wall(gravity) * (1 + 0.02 * noise)

    found = find_gravity(noisy, NO_SKY, FLAT, FOCAL)

    assert found is not None
    assert found.norm() == pytest.approx(1, abs=1e-5)
    assert angle(found, gravity) < 1.5


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (12, 4), (-15, -3)])
def test_upright_edges_tell_where_no_ground_is_seen(pitch, roll):
    gravity = down(pitch, roll)
    facing = torch.full((HEIGHT, WIDTH), 2.0)

    found = find_gravity(facing, NO_SKY, pillars(gravity), FOCAL)

    assert found is not None
    assert angle(found, gravity) < 1.5


def test_without_a_witness_nothing_is_said():
    facing = torch.full((HEIGHT, WIDTH), 2.0)

    assert find_gravity(facing, NO_SKY, FLAT, FOCAL) is None
    # stripes that lie are no upright edges, and what is all sky has no ground
    lying = torch.cat([pillars(down(0))[..., :HEIGHT].mT] * 2, dim=2)[..., :WIDTH]
    assert find_gravity(facing, NO_SKY, lying, FOCAL) is None
    assert find_gravity(ground_and_wall(down(5)), ~NO_SKY, FLAT, FOCAL) is None


def test_the_sky_is_no_witness():
    gravity = down(6)
    depth, sky = ground_and_wall(gravity), NO_SKY.clone()
    sky[:, : WIDTH // 2] = True
    depth[sky] = 30.0

    found = find_gravity(depth, sky, FLAT, FOCAL)

    assert found is not None
    assert angle(found, gravity) < 1


def test_a_slope_steeper_than_any_camera_is_not_the_ground():
    ceiling = 1 / (rays() @ torch.tensor([0.0, -1.0, 2.0])).clamp(min=0.05)  # nearer towards the top

    assert find_gravity(ceiling, NO_SKY, FLAT, FOCAL) is None
