"""Camera rays and Plücker ray maps."""

import torch
from torch import Tensor


def camera_rays(
    c2w: Tensor, K: Tensor, height: int, width: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """World-space rays through the pixel centres.

    Args:
        c2w: [..., 4, 4] camera-to-world poses.
        K: [..., 3, 3] intrinsics in pixels of ``height`` x ``width``; leading axes broadcast against those of ``c2w``.
        height, width: size of the ray grid.
        dtype: precision of the whole computation, pixel grid included. The released Lyra-1 weights were trained with
            ``torch.bfloat16`` rays; float32 is the clean setting.

    Returns:
        origins [..., 3, H, W] (the camera centre, repeated without memory) and unit directions [..., 3, H, W].
    """
    c2w, K = c2w.to(dtype), K.to(dtype)
    # as published: in bfloat16 counting down from the rounded end differs from counting up
    column = torch.linspace(0, width - 1, width, device=c2w.device, dtype=dtype) + 0.5
    row = torch.linspace(0, height - 1, height, device=c2w.device, dtype=dtype) + 0.5
    x = (column - K[..., 0, 2, None]) / K[..., 0, 0, None]
    y = (row - K[..., 1, 2, None]) / K[..., 1, 1, None]
    x, y = torch.broadcast_tensors(x[..., None, :], y[..., :, None])
    local = torch.stack([x, y, torch.ones_like(x)], dim=-3)
    local = local / local.norm(dim=-3, keepdim=True)
    # products of a low precision are summed in float32 and rounded once, as a matrix product does
    wide = torch.promote_types(dtype, torch.float32)
    turn, local = c2w[..., :3, :3, None, None].to(wide), local.to(wide)
    directions = turn[..., 0, :, :] * local[..., None, 0, :, :]
    directions = directions + turn[..., 1, :, :] * local[..., None, 1, :, :]
    directions = directions + turn[..., 2, :, :] * local[..., None, 2, :, :]
    directions = directions.to(dtype)
    origins = c2w[..., :3, 3, None, None].expand_as(directions)
    return origins, directions


def plucker_rays(c2w: Tensor, K: Tensor, height: int, width: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """[..., 6, H, W] Plücker map: the moment (origin x direction), then the direction; arguments as `camera_rays`."""
    origins, directions = camera_rays(c2w, K, height, width, dtype)
    return torch.cat([torch.linalg.cross(origins, directions, dim=-3), directions], dim=-3)
