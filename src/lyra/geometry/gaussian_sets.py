"""Sets of Gaussians put together, and moved from one frame into another."""

from dataclasses import fields, replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import transform_points
from lyra.geometry.quaternions import quaternion_from_rotation, quaternion_product
from lyra.structures import Gaussians


def joined(*sets: Gaussians) -> Gaussians:
    """Several sets as one, in the order given."""
    return Gaussians(*(torch.cat([getattr(each, field.name) for each in sets]) for field in fields(Gaussians)))


def moved(gaussians: Gaussians, c2w: Tensor) -> Gaussians:
    """Gaussians in a camera's own axes, placed in the world where that camera [4, 4] stands."""
    turn = quaternion_from_rotation(c2w[:3, :3])
    quats = F.normalize(quaternion_product(turn, gaussians.quats), dim=-1)
    return replace(gaussians, means=transform_points(gaussians.means, c2w), quats=quats)
