"""Depth maps to points."""

import torch
from torch import Tensor

from lyra.geometry.cameras import transform_points


def unproject(depth: Tensor, K: Tensor, c2w: Tensor, pixel_centre: float = 0.5) -> Tensor:
    """World points of depth maps: X = c2w (depth · K⁻¹ (x, y, 1)).

    Args:
        depth: [..., H, W] z along the optical axis; pixels with depth <= 0 give the point (0, 0, 0), as published.
        K: [..., 3, 3] intrinsics in pixels; leading axes broadcast, as do those of ``c2w``.
        c2w: [..., 4, 4] camera-to-world.
        pixel_centre: where in its cell a pixel is measured; 0.0 is the integer-pixel form of the GEN3C cache.

    Returns:
        [..., H, W, 3] points.
    """
    height, width = depth.shape[-2:]
    column = torch.arange(width, device=depth.device, dtype=depth.dtype) + pixel_centre
    row = torch.arange(height, device=depth.device, dtype=depth.dtype) + pixel_centre
    y = (row - K[..., 1, 2, None]) / K[..., 1, 1, None]
    x = (column - K[..., 0, 2, None]) / K[..., 0, 0, None]
    skew = (K[..., 0, 1] / K[..., 0, 0])[..., None, None]
    x = x[..., None, :] - skew * y[..., :, None]
    local = torch.stack([x * depth, y[..., :, None] * depth, depth.expand_as(x * depth)], dim=-1)
    world = transform_points(local.flatten(-3, -2), c2w)
    return torch.where(depth[..., None] > 0, world.unflatten(-2, (height, width)), 0.0)
