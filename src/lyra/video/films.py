"""The three previews of a moving scene: time frozen, camera fixed, both moving."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from lyra.geometry.tour import smooth_tour
from lyra.raster import RenderOptions, render
from lyra.structures import Cameras, Gaussians

TOUR_FRAMES = 32
_SIDE = 4
"""The fixed camera stands where the tour is after a quarter of its way."""


class Films(NamedTuple):
    """Clips [T, 3, H, W] uint8."""

    bullet: Tensor
    fixed: Tensor
    both: Tensor


def rounds(count: int) -> list[int]:
    """Numbers of the moments that a film shows: forwards and back again, at least a tour long."""
    if count == 1:
        return [0] * TOUR_FRAMES
    loop = [*range(count), *range(count - 2, 0, -1)]
    return loop * max(1, round(TOUR_FRAMES / len(loop)))


def film_moments(
    files: list[Path], read: Callable[[Path], Gaussians], source: Cameras, device: torch.device, how: RenderOptions
) -> Films:
    """Film the moments, holding one set of Gaussians at a time.

    Args:
        files: one for each moment; ``read`` reads it.
        source: the camera of the video in the middle.
        device: where to render.
        how: render options.
    """
    order = rounds(len(files))
    tour = smooth_tour(source, len(order))
    aside = smooth_tour(source, _SIDE)[1]
    middle = len(files) // 2
    fixed: list[Tensor | None] = [None] * len(order)
    both: list[Tensor | None] = [None] * len(order)
    bullet = torch.zeros(0)
    for number, file in enumerate(files):
        gaussians = read(file).to(device)
        still = _pixels(gaussians, aside.to(device), how)[0]
        places = [place for place, moment in enumerate(order) if moment == number]
        moved = _pixels(gaussians, tour[torch.tensor(places)].to(device), how)
        for place, picture in zip(places, moved, strict=True):
            fixed[place], both[place] = still, picture
        if number == middle:
            bullet = _pixels(gaussians, smooth_tour(source, TOUR_FRAMES).to(device), how)
    return Films(bullet, *(torch.stack([each for each in film if each is not None]) for film in (fixed, both)))


def _pixels(gaussians: Gaussians, cameras: Cameras, how: RenderOptions) -> Tensor:
    return (render(gaussians, cameras, how).rgb.clamp(0, 1) * 255).round().to(torch.uint8).cpu()
