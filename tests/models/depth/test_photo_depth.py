"""Depth of a photo: the network's, set upright with the lens that is known."""

import math

import pytest
import torch
from known_tilt import FOCAL, HEIGHT, WIDTH, down, ground_and_wall, rays

from lyra.geometry.constants import FAR_DEPTH
from lyra.models.depth import DepthNet, photo_depth

FOV = 2 * math.atan(0.5 * WIDTH / FOCAL)
GRAVITY = down(9)
RGB = torch.full((2, 3, HEIGHT, WIDTH), 0.5)


class Saying(DepthNet):
    """A network that has made up its mind."""

    def __init__(self, depth: torch.Tensor, sky: torch.Tensor, fov_x: float) -> None:
        super().__init__()
        self.said = depth, sky, torch.full((len(depth),), fov_x)

    def infer(self, rgb, settled=True, thorough=True):
        return self.said


def bent_wall() -> tuple[torch.Tensor, torch.Tensor]:
    """What is true, and what a network makes of it; median 1."""
    truth = ground_and_wall(GRAVITY, distance=3.0)
    bent = truth * (1 + 0.05 * torch.sin(torch.arange(HEIGHT) / 10))[:, None]
    return truth / truth.median(), bent / bent.median()


def no_sky(depth: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(depth, dtype=torch.bool)


def wall_error(depth: torch.Tensor, truth: torch.Tensor) -> float:
    difference = (depth / truth).log()[rays() @ GRAVITY < 0.3]
    return (difference - difference.median()).abs().mean().item()


@pytest.mark.parametrize("known", [None, torch.tensor([FOV])])
def test_a_bent_wall_stands_and_the_median_is_one(known):
    truth, bent = bent_wall()
    net = Saying(bent[None], no_sky(bent[None]), FOV if known is None else 0.5 * FOV)

    depth, sky, fov = photo_depth(net, RGB[:1], known)

    assert wall_error(depth[0], truth) < 0.2 * wall_error(bent, truth)
    assert depth.median() == pytest.approx(1, abs=1e-4)
    assert not sky.any()
    assert fov.item() == pytest.approx(FOV if known is None else 0.5 * FOV)


def test_each_picture_is_asked_for_itself_and_the_sky_stays():
    truth, bent = bent_wall()
    facing = torch.ones(HEIGHT, WIDTH)
    sky = torch.stack([no_sky(bent), no_sky(bent)])
    sky[:, :16] = True
    said = torch.stack([bent, facing]).masked_fill(sky, FAR_DEPTH)

    depth, _, _ = photo_depth(Saying(said, sky, FOV), RGB)

    assert (depth[sky] == FAR_DEPTH).all()
    assert torch.equal(depth[1], said[1])  # neither ground nor edges: as the network said
    assert not torch.equal(depth[0], said[0])


def test_a_picture_of_nothing_but_sky_is_left():
    sky = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    said = torch.full((1, HEIGHT, WIDTH), FAR_DEPTH)

    assert torch.equal(photo_depth(Saying(said, sky, FOV), RGB[:1])[0], said)
