"""What the Gaussians look like from the cameras of a path, made fit for fusing: no glimpses, no edges, no sky."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.raster import render
from lyra.structures import Cameras, Gaussians

FARTHEST = 20.0
"""Depth in scene units beyond which nothing becomes a surface; the sky lies at 30."""
SOLID = 0.9
_BEND = 0.06
_SLOPE = 0.15


def solid_pictures(
    gaussians: Gaussians, cameras: Cameras, progress: Callable[[int, int], None]
) -> tuple[Tensor, Tensor]:
    """Colours and depth of the solid surfaces.

    Args:
        gaussians: the scene.
        cameras: T cameras.
        progress: told after each picture how many of how many are done.

    Returns:
        rgb [T, 3, H, W] as if it were opaque, depth [T, H, W] z, 0 where it is not that of one surface: alpha below
        0.9, at edges, beyond `FARTHEST`. On the CPU.
    """
    colors, depths = [], []
    for index in range(len(cameras)):
        picture = render(gaussians, cameras[index])
        solid = (picture.alpha >= SOLID) & (picture.depth <= FARTHEST)
        depths.append(torch.where(solid, picture.depth, 0).cpu())
        colors.append((picture.rgb / picture.alpha[:, None].clamp_min(SOLID)).clamp(0, 1).cpu())
        progress(index + 1, len(cameras))
    depth = torch.cat(depths)
    return torch.cat(colors), torch.where(at_edges(depth), 0, depth)


def at_edges(depth: Tensor) -> Tensor:
    """Pixels whose depth is a blend of two surfaces.

    In the picture of a plane 1/z is linear, however steep the plane is. So a pixel is at an edge where the second
    difference of 1/z across it, in rows or columns, exceeds 6 % of 1/z; and so are its eight neighbours, because a
    blend bends at both ends and not in the middle. A wide blend hardly bends anywhere; it is known by its slope, above
    15 % of 1/z from pixel to pixel.

    Args:
        depth: [T, H, W], 0 where nothing is known.

    Returns:
        [T, H, W] bool.
    """
    inverse = torch.where(depth > 0, 1 / depth.clamp_min(1e-6), 0)
    padded = F.pad(inverse[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
    middle = 2 * inverse
    rows = (padded[:, 1:-1, 2:] + padded[:, 1:-1, :-2] - middle).abs()
    columns = (padded[:, 2:, 1:-1] + padded[:, :-2, 1:-1] - middle).abs()
    slope = torch.maximum(
        (padded[:, 1:-1, 2:] - padded[:, 1:-1, :-2]).abs(), (padded[:, 2:, 1:-1] - padded[:, :-2, 1:-1]).abs()
    )
    bent = (torch.maximum(rows, columns) > _BEND * inverse) | (slope > 2 * _SLOPE * inverse)
    bent &= depth > 0
    return F.max_pool2d(bent[:, None].float(), 3, stride=1, padding=1)[:, 0] > 0
