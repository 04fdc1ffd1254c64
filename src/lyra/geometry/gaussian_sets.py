"""Sets of Gaussians made of pixels, put together, and moved from one frame into another."""

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import transform_points
from lyra.geometry.quaternions import quaternion_from_rotation, quaternion_product
from lyra.structures import Gaussians

FOOTPRINT, OPACITY = 0.45, 0.95
"""Standard deviation of a pixel's Gaussian in pixels of its picture, and what it covers."""


def of_pixels(
    means: Tensor, z: Tensor, colors: Tensor, K: Tensor, footprint: float = FOOTPRINT, opacity: float = OPACITY
) -> Gaussians:
    """Round Gaussians as large as the pixels they come from.

    Args:
        means: [N, 3] world points.
        z: [N] their depth in the camera that saw them.
        colors: [N, 3] 0…1.
        K: [3, 3] intrinsics of that camera, in pixels.
        footprint: standard deviation in pixels.
        opacity: of each.
    """
    scales = (z * footprint / torch.sqrt(K[0, 0] * K[1, 1]))[:, None].expand(-1, 3).contiguous()
    upright = torch.eye(1, 4, device=z.device).expand(len(z), 4).contiguous()
    return Gaussians(means, upright, scales, torch.full_like(z, opacity), colors.contiguous())


def joined(*sets: Gaussians) -> Gaussians:
    """Several sets as one, in the order given."""
    return Gaussians(*(torch.cat([getattr(each, field.name) for each in sets]) for field in fields(Gaussians)))


def moved(gaussians: Gaussians, c2w: Tensor) -> Gaussians:
    """Gaussians in a camera's own axes, placed in the world where that camera [4, 4] stands."""
    turn = quaternion_from_rotation(c2w[:3, :3])
    quats = F.normalize(quaternion_product(turn, gaussians.quats), dim=-1)
    return replace(gaussians, means=transform_points(gaussians.means, c2w), quats=quats)
