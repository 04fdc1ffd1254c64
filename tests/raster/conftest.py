"""Small scenes that several raster tests draw."""

import pytest
import torch
from torch import Tensor


def random_scene(count: int, seed: int = 0, scale: float = 0.05) -> tuple[Tensor, ...]:
    """Means, quats, scales, opacities, colors of Gaussians scattered 1…5 in front of the origin."""
    generator = torch.Generator().manual_seed(seed)
    z = 1 + 4 * torch.rand(count, 1, generator=generator)
    means = torch.cat([(torch.rand(count, 2, generator=generator) - 0.5) * 2.2 * z, z], dim=1)
    quats = torch.randn(count, 4, generator=generator)
    scales = scale * torch.exp(0.7 * torch.randn(count, 3, generator=generator))
    opacities = torch.sigmoid(1.5 * torch.randn(count, generator=generator))
    return means, quats, scales, opacities, torch.rand(count, 3, generator=generator)


def two_cameras(height: int, width: int) -> tuple[Tensor, Tensor]:
    """w2c [2, 4, 4] and K [2, 3, 3]: one at the origin, one moved and turned about all axes."""
    turn = torch.tensor([[0.0, 0.07, 0.05], [-0.07, 0.0, -0.1], [-0.05, 0.1, 0.0]])
    w2c = torch.eye(4).repeat(2, 1, 1)
    w2c[1, :3, :3] = torch.linalg.matrix_exp(turn)
    w2c[1, :3, 3] = torch.tensor([0.1, -0.05, 0.2])
    K = torch.tensor([[0.6 * width, 0, 0.48 * width], [0, 0.62 * width, 0.53 * height], [0, 0, 1.0]])
    return w2c, K.repeat(2, 1, 1)


@pytest.fixture(name="random_scene")
def random_scene_fixture():
    return random_scene


@pytest.fixture(name="two_cameras")
def two_cameras_fixture():
    return two_cameras
