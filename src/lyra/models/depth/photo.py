"""Depth of a photo: what the network says of it, with upright and level surfaces made so."""

import torch
from torch import Tensor

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.geometry.gravity import find_gravity
from lyra.geometry.upright import set_upright
from lyra.models.depth.model import DepthNet


@torch.no_grad()
def photo_depth(depth_net: DepthNet, rgb: Tensor, fov_x: Tensor | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """What `DepthNet.infer` says, upright where the picture tells which way is down.

    Args:
        depth_net: single-image depth network.
        rgb: [B, 3, H, W] float 0…1, H and W multiples of 32.
        fov_x: [B] horizontal field of view in radians where it is known, ``None`` to take the network's.

    Returns:
        As `DepthNet.infer`: [B, H, W] depth whose median outside the sky is 1, [B, H, W] sky, [B] the network's field
        of view in radians.

    Raises:
        ValueError: the shape is another one.
    """
    depth, sky, estimated = depth_net.infer(rgb)
    angles = estimated if fov_x is None else fov_x
    upright = [_upright(*picture) for picture in zip(depth, sky, rgb, angles, strict=True)]
    return torch.stack(upright), sky, estimated


def _upright(depth: Tensor, sky: Tensor, rgb: Tensor, fov_x: Tensor) -> Tensor:
    focal = intrinsics_from_fov(fov_x, *depth.shape)[0, 0].item()
    gravity = find_gravity(depth, sky, rgb, focal)
    if gravity is None or bool(sky.all()):
        return depth
    upright = set_upright(depth, sky, gravity, focal)
    upright = (upright / upright[~sky].median()).clamp(NEAR_DEPTH, FAR_DEPTH)
    return torch.where(sky, depth, upright)
