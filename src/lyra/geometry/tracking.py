"""Points followed through a clip: corners, and pyramidal registration of small windows."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_WINDOW = 11
_LEVELS = 4
_ROUNDS = 8
_BACK = 0.8
"""Largest distance in pixels between a point and where following it there and back again leads."""
_MARGIN = 4
_CELLS, _SMALLEST_CELL = 28, 6
"""Cells along the longer side, each with at most one point; never smaller than so many pixels."""
_LUMA = (0.299, 0.587, 0.114)


class Tracks(NamedTuple):
    """N points of one frame, followed through T frames.

    ``points`` [T, N, 2] x and y in pixels, centres at +0.5; ``seen`` [T, N] bool; ``home`` [N] frame of their start.
    """

    points: Tensor
    seen: Tensor
    home: Tensor


def find_corners(picture: Tensor, count: int = 300, cell: int = 16) -> Tensor:
    """Places that can be followed: the best of each cell by the smaller eigenvalue of the structure tensor.

    After Shi and Tomasi, "Good features to track" (CVPR 1994); at most one point per cell keeps them spread.

    Args:
        picture: [3, H, W] 0…1.
        count: at most so many, the strongest.
        cell: side of a cell in pixels.

    Returns:
        [N, 2] x and y in pixels.
    """
    grey = _grey(picture[None])
    dx, dy = _gradients(grey)
    tensor = F.avg_pool2d(torch.cat([dx * dx, dy * dy, dx * dy], dim=1), 7, stride=1, padding=3)[0]
    xx, yy, xy = tensor
    strength = (xx + yy) / 2 - torch.sqrt(((xx - yy) / 2).square() + xy.square())
    height, width = strength.shape
    inner = torch.zeros_like(strength)
    inner[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 1
    strength = strength * inner
    best, place = F.max_pool2d(strength[None, None], cell, return_indices=True)
    best, place = best.flatten(), place.flatten()
    strong = best > 1e-6
    best, place = best[strong], place[strong]
    order = best.argsort(descending=True)[:count]
    place = place[order]
    return torch.stack([place % width + 0.5, torch.div(place, width, rounding_mode="floor") + 0.5], dim=1).to(picture)


@torch.no_grad()
def follow(frames: Tensor, homes: tuple[int, ...] = (0,), count: int = 300) -> Tracks:
    """Follow corners of some frames through the whole clip, forwards and backwards, frame by frame.

    Lucas and Kanade's registration on a pyramid, each step checked by going back (Kalal et al., ICPR 2010).

    Args:
        frames: [T, 3, H, W] 0…1.
        homes: frames whose corners are followed.
        count: at most so many from each.
    """
    pyramid = _pyramid(frames)
    cell = max(_SMALLEST_CELL, round(max(frames.shape[-2:]) / _CELLS))
    total = len(frames)
    all_points, all_seen, all_homes = [], [], []
    for home in homes:
        start = find_corners(frames[home], count, cell)
        points = start.expand(total, -1, -1).clone()
        seen = torch.zeros(total, len(start), dtype=torch.bool, device=frames.device)
        seen[home] = True
        for way in (1, -1):
            steps = range(home + way, total if way > 0 else -1, way) if len(start) else ()
            for frame in steps:
                before = points[frame - way]
                there, good = _register(pyramid, frame - way, frame, before)
                back, _ = _register(pyramid, frame, frame - way, there)
                good &= (back - before).norm(dim=1) < _BACK
                points[frame] = torch.where(good[:, None], there, before)
                seen[frame] = seen[frame - way] & good
        all_points.append(points)
        all_seen.append(seen)
        all_homes.append(torch.full((len(start),), home, device=frames.device))
    return Tracks(torch.cat(all_points, dim=1), torch.cat(all_seen, dim=1), torch.cat(all_homes))


def _grey(frames: Tensor) -> Tensor:
    """[T, 1, H, W] brightness."""
    weights = torch.tensor(_LUMA, dtype=frames.dtype, device=frames.device)
    return (frames * weights[:, None, None]).sum(dim=1, keepdim=True)


def _gradients(grey: Tensor) -> tuple[Tensor, Tensor]:
    """Central differences [T, 1, H, W] along x and y."""
    padded = F.pad(grey, (1, 1, 1, 1), mode="replicate")
    return (padded[..., 1:-1, 2:] - padded[..., 1:-1, :-2]) / 2, (padded[..., 2:, 1:-1] - padded[..., :-2, 1:-1]) / 2


def _pyramid(frames: Tensor) -> list[Tensor]:
    """Brightness and its gradients [T, 3, h, w], from the finest level to the coarsest."""
    levels, grey = [], _grey(frames)
    for _ in range(_LEVELS):
        levels.append(torch.cat([grey, *_gradients(grey)], dim=1))
        if min(grey.shape[-2:]) < 4 * _WINDOW:
            break
        grey = F.avg_pool2d(grey, 2)
    return levels


def _register(pyramid: list[Tensor], first: int, second: int, points: Tensor) -> tuple[Tensor, Tensor]:
    """Where points [N, 2] of frame ``first`` are in ``second``, and [N] bool whether that can be told."""
    shift = torch.zeros_like(points)
    good = torch.ones(len(points), dtype=torch.bool, device=points.device)
    half = _WINDOW // 2
    steps = torch.arange(-half, half + 1, device=points.device, dtype=points.dtype)
    window = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).flatten(0, 1)  # [W, 2]
    for level in range(len(pyramid) - 1, -1, -1):
        scale = 0.5**level
        at = points * scale
        template = _sample(pyramid[level][first], at[:, None] + window)  # [3, N, W]
        value, dx, dy = template
        xx, yy, xy = (dx * dx).sum(1), (dy * dy).sum(1), (dx * dy).sum(1)
        determinant = xx * yy - xy * xy
        solvable = determinant > 1e-8
        safe = torch.where(solvable, determinant, 1.0)
        move = shift * scale
        for _ in range(_ROUNDS):
            found = _sample(pyramid[level][second, :1], (at + move)[:, None] + window)[0]
            error = value - found
            bx, by = (dx * error).sum(1), (dy * error).sum(1)
            step = torch.stack([(yy * bx - xy * by) / safe, (xx * by - xy * bx) / safe], dim=1)
            step = torch.where(solvable[:, None], step.clamp(-half, half), 0.0)
            move = move + step
            if float(step.abs().max()) < 0.01:
                break
        shift = move / scale
        if level == 0:
            residual = (value - _sample(pyramid[0][second, :1], (at + move)[:, None] + window)[0]).abs().mean(1)
            good = solvable & (residual < 0.08)
    there = points + shift
    height, width = pyramid[0].shape[-2:]
    inside = (there > 1).all(dim=1) & (there[:, 0] < width - 1) & (there[:, 1] < height - 1)
    return there, good & inside


def _sample(maps: Tensor, places: Tensor) -> Tensor:
    """Bilinear values [C, N, W] of maps [C, h, w] at places [N, W, 2] in pixels."""
    height, width = maps.shape[-2:]
    size = torch.tensor([width, height], dtype=places.dtype, device=places.device)
    grid = 2 * places / size - 1
    return F.grid_sample(maps[None], grid[None], padding_mode="border", align_corners=False)[0]
