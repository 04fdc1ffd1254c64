"""Scenes whose Gaussians can be told apart after a format has put them in another order."""

from collections.abc import Callable

import pytest
import torch

from lyra.structures import Gaussians

CORNER = torch.tensor([-1.0, 0.5, 2.0])  # not symmetric: an axis turned round would leave the grid
SPACING = 0.1


def make_grid(side: int, seed: int = 0) -> Gaussians:
    """side³ Gaussians, one near each point of a grid, in random order, with random attributes."""
    generator = torch.Generator().manual_seed(seed)
    axes = torch.meshgrid(*[torch.arange(side).float()] * 3, indexing="ij")
    places = torch.stack(axes, dim=-1).reshape(-1, 3)
    count = len(places)
    places = places[torch.randperm(count, generator=generator)]
    quats = torch.randn(count, 4, generator=generator)
    return Gaussians(
        CORNER + SPACING * (places + 0.6 * torch.rand(count, 3, generator=generator) - 0.3),
        quats / quats.norm(dim=1, keepdim=True),
        torch.exp(0.7 * torch.randn(count, 3, generator=generator) - 4),
        torch.rand(count, generator=generator),
        torch.rand(count, 3, generator=generator),
    )


def largest_differences(a: Gaussians, b: Gaussians) -> dict[str, float]:
    """Of two grids in any order: position in scene units, colour and opacity in steps of 1/255, scale as the natural
    logarithm, rotation in degrees."""
    assert len(a) == len(b)
    a, b = (each[_cells(each.means).argsort()] for each in (a, b))
    assert torch.equal(_cells(a.means), _cells(b.means))
    # the angle of the relative rotation through its sine: an arc cosine is blind to small angles in float32
    w, x, y, z = (a.quats * torch.tensor([1.0, -1, -1, -1])).double().unbind(1)
    p, q, r, s = b.quats.double().unbind(1)
    sine = torch.stack([w * q + x * p + y * s - z * r, w * r - x * s + y * p + z * q, w * s + x * r - y * q + z * p])
    return {
        "position": (a.means - b.means).abs().max().item(),
        "color": 255 * (a.colors - b.colors).abs().max().item(),
        "opacity": 255 * (a.opacities - b.opacities).abs().max().item(),
        "scale": (a.scales.log() - b.scales.log()).abs().max().item(),
        "rotation": 2 * torch.rad2deg(torch.asin(sine.norm(dim=0).clamp(max=1))).max().item(),
    }


def _cells(means: torch.Tensor) -> torch.Tensor:
    cells = ((means - CORNER) / SPACING).round().long()
    assert cells.min() >= 0 and cells.max() < 1000
    return cells @ torch.tensor([1_000_000, 1000, 1])


@pytest.fixture(scope="session")
def grid() -> Callable[..., Gaussians]:
    return make_grid


@pytest.fixture(scope="session")
def differences() -> Callable[[Gaussians, Gaussians], dict[str, float]]:
    return largest_differences
