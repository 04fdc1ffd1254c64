"""The same scene point in two views, and cameras that are a little wrong."""

import math
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.bundle import rotation_from_vector
from lyra.geometry.cameras import compose, invert_rigid, rigid, transform_points
from lyra.geometry.unprojection import unproject


class Correspondence(NamedTuple):
    """What a second view says about the scene points of a first one.

    Attributes:
        values: [C, H, W] its values there, bilinear; 0 outside.
        depth_ratio: [H, W] depth of the point in the second camera over the depth that this view shows there.
        inside: [H, W] bool, whether the point lies in front of that camera and in its picture.
    """

    values: Tensor
    depth_ratio: Tensor
    inside: Tensor


def correspond(
    depth: Tensor, c2w: Tensor, values: Tensor, other_depth: Tensor, other_c2w: Tensor, K: Tensor
) -> Correspondence:
    """Look the points of one depth map up in another view with the same intrinsics.

    Args:
        depth: [H, W] z of the first view; c2w: [4, 4] its camera.
        values: [C, H, W] of the second view, such as its colours.
        other_depth: [H, W] z of the second view; other_c2w: [4, 4] its camera.
        K: [3, 3] pixels.
    """
    height, width = depth.shape
    points = transform_points(unproject(depth, K, c2w).flatten(0, 1), invert_rigid(other_c2w)).unflatten(
        0, (height, width)
    )
    z = points[..., 2].clamp_min(1e-6)
    x = (K[0, 0] * points[..., 0] + K[0, 1] * points[..., 1]) / z + K[0, 2]
    y = K[1, 1] * points[..., 1] / z + K[1, 2]
    inside = (points[..., 2] > 1e-3) & (x >= 0.5) & (x <= width - 0.5) & (y >= 0.5) & (y <= height - 0.5)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None]
    found = F.grid_sample(torch.cat([values, other_depth[None]])[None], grid, align_corners=False)[0]
    found = torch.where(inside, found, 0.0)
    return Correspondence(found[:-1], torch.where(inside, z / found[-1].clamp_min(1e-6), 1.0), inside)


def nudge(c2w: Tensor, generator: torch.Generator, degrees: float = 0.0, distance: float = 0.0) -> Tensor:
    """Turn cameras by an angle about a random axis through them, and move them by a distance in a random direction.

    Args:
        c2w: [..., 4, 4].
        generator: on the CPU.
        degrees: angle of the turn.
        distance: length of the move.
    """
    axis, way = (F.normalize(torch.randn(*c2w.shape[:-2], 3, generator=generator), dim=-1).to(c2w) for _ in range(2))
    turn = rotation_from_vector(math.radians(degrees) * axis)
    return compose(c2w, rigid(turn, distance * way))
