"""How a camera moves that somebody carries: a slow way, and a little shaking."""

import math

import torch
from torch import Tensor

from lyra.geometry.bundle import rotation_from_vector
from lyra.geometry.cameras import rigid

_SHAKE = 0.04
"""Of the way and of the turn, so much is shaking."""


def handheld_c2w(frames: int, reach: float, degrees: float, generator: torch.Generator) -> Tensor:
    """[T, 4, 4] camera-to-world float32 of a walk from the identity on.

    Args:
        frames: T.
        reach: distance of the farthest camera in scene units, roughly.
        degrees: turn of the last camera, roughly.
        generator: on the CPU.
    """
    time = torch.linspace(0, 1, frames)
    way, turn = (_direction(generator) * torch.tensor(flat) for flat in ((1.0, 0.4, 0.8), (0.6, 1.0, 0.3)))
    bend = _direction(generator) * 0.5
    place = reach * (way * time[:, None] + bend * (math.pi * time).sin()[:, None] * 0.5)
    angle = math.radians(degrees) * turn * (time**1.3)[:, None]
    for amount, values in ((reach, place), (math.radians(degrees), angle)):
        phase = 2 * math.pi * torch.rand(3, generator=generator)
        pace = 1.5 + 2 * torch.rand(3, generator=generator)
        wave = torch.sin(2 * math.pi * pace * time[:, None] + phase) - torch.sin(phase)
        values += _SHAKE * amount * wave
    return rigid(rotation_from_vector(angle.double()).float(), place.float())


def _direction(generator: torch.Generator) -> Tensor:
    """[3] of length 1."""
    return torch.nn.functional.normalize(torch.randn(3, generator=generator), dim=0)
