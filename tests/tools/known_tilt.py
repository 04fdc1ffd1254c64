"""Level ground and a wall, seen by a camera whose tilt is known."""

import math

import torch
from torch import Tensor

HEIGHT, WIDTH, FOCAL = 128, 224, 200.0


def down(pitch: float, roll: float = 0.0) -> Tensor:
    """Gravity of a camera that looks ``pitch`` degrees down and is turned by ``roll`` degrees around its axis."""
    p, r = math.radians(pitch), math.radians(roll)
    return torch.tensor([-math.sin(r) * math.cos(p), math.cos(r) * math.cos(p), math.sin(p)])


def rays() -> Tensor:
    """[H, W, 3] with z = 1."""
    y, x = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    return torch.stack([(x - WIDTH / 2) / FOCAL, (y - HEIGHT / 2) / FOCAL, torch.ones_like(x)], dim=-1)


def ground_and_wall(gravity: Tensor, distance: float = 9.0) -> Tensor:
    """[H, W] depth of level ground one below the camera, and of a wall that faces it."""
    level = rays() @ gravity
    ground = torch.where(level > 1e-3, 1 / level.clamp(min=1e-3), torch.inf)
    ahead = torch.tensor([0.0, 0.0, 1.0]) - gravity[2] * gravity
    wall = distance / (rays() @ (ahead / ahead.norm()))
    return torch.minimum(ground, wall)


NO_SKY = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
