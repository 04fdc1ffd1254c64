"""Records of a few kilobytes."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch

from lyra.data import LatentSpace, Manifest
from lyra.structures import Cameras, Frames, Latents, SceneRecord, Trajectory, Views

CHANNELS, T, HEIGHT, WIDTH = 4, 9, 16, 24
SPACE = LatentSpace("toy", torch.linspace(-1, 1, CHANNELS), torch.linspace(0.5, 2, CHANNELS))


def make_record(
    key: str, seed: int = 0, names: tuple[str, ...] = ("left", "zoom_in"), sources: int = 1, moving: bool = False
) -> SceneRecord:
    """A record of random numbers, the same for the same seed."""
    generator = torch.Generator().manual_seed(seed)

    def rand(*shape: int) -> torch.Tensor:
        return torch.rand(shape, generator=generator)

    K = torch.tensor([[20.0, 0, WIDTH / 2], [0, 20.0, HEIGHT / 2], [0, 0, 1]])

    def cameras(count: int) -> Cameras:
        c2w = torch.eye(4).repeat(count, 1, 1)
        c2w[1:, :3, 3] = rand(count - 1, 3)
        return Cameras(c2w, K.repeat(count, 1, 1), HEIGHT, WIDTH)

    strengths = (0.25, None)[: len(names)]
    paths = tuple(Trajectory(name, cameras(T), strength) for name, strength in zip(names, strengths, strict=True))
    z = rand(len(names), CHANNELS, 2, HEIGHT // 8, WIDTH // 8) * 6 - 3
    views = Views(
        Frames(rand(sources, 3, HEIGHT, WIDTH), 24.0 if moving else None),
        rand(sources, HEIGHT, WIDTH) + 0.5,
        rand(sources, HEIGHT, WIDTH) > 0.1,
        cameras(sources),
    )
    smooth = torch.nn.functional.interpolate(rand(len(names) * T, 3, 3, 4), (HEIGHT, WIDTH), mode="bilinear")
    frames = (smooth * 255).round().to(torch.uint8).unflatten(0, (len(names), T))
    depth = rand(len(names), T, HEIGHT, WIDTH) + 0.5
    record = SceneRecord(key, Latents(z, paths, "toy"), views, frames, depth, depth > 0.6, meta={"seed": seed})
    return replace(record, times=torch.arange(T) / 24) if moving else record


@pytest.fixture
def record() -> Callable[..., SceneRecord]:
    return make_record


@pytest.fixture
def space() -> LatentSpace:
    return SPACE


@pytest.fixture
def manifest() -> Manifest:
    return Manifest(SPACE, {"steps": 2}, {"teacher/toy": {"sha256": "ab", "licence": "CC0-1.0"}}, ("toys: CC0-1.0",))
