"""Cameras as the decoder sees them: rays of the Gaussians, pooled Plücker maps, poses relative to the first."""

import torch
from torch import Tensor

from lyra.geometry.cameras import compose, invert_rigid
from lyra.geometry.rays import camera_rays


def relative_to_first_pose(poses: Tensor, reference: Tensor) -> Tensor:
    """Poses in the frame of the first camera of the first input view (the official normalisation).

    Args:
        poses: [B, ..., 4, 4] c2w to express anew: the inputs themselves, or cameras to render.
        reference: [B, V, T, 4, 4] c2w of the input views.

    Returns:
        [B, ..., 4, 4] inverse(reference[:, 0, 0]) @ poses. Translations keep their scale.
    """
    inverse = invert_rigid(reference[:, 0, 0])
    return compose(inverse.reshape(-1, *(1,) * (poses.dim() - 3), 4, 4), poses)


def grid_rays(
    c2w: Tensor, K: Tensor, height: int, width: int, stride: int, dtype: torch.dtype = torch.float32
) -> tuple[Tensor, Tensor]:
    """Rays through the centres of cells of ``stride`` x ``stride`` pixels.

    Args:
        c2w: [B, V, T, 4, 4].
        K: [B, V, 3, 3] in pixels.
        height, width: of the pictures, in pixels.
        stride: side of a cell; all four intrinsics are divided by it.
        dtype: precision of the whole computation, grid coordinates included.

    Returns:
        origins and unit directions, each [B, V, T, 3, height / stride, width / stride], in ``dtype``.
    """
    K = torch.cat([K[..., :2, :] / stride, K[..., 2:, :]], dim=-2)[:, :, None]
    return camera_rays(c2w, K, height // stride, width // stride, dtype=dtype)


def pooled_plucker(c2w: Tensor, K: Tensor, height: int, width: int, temporal: int = 8, spatial: int = 8) -> Tensor:
    """Plücker maps (o x d, d) on the latent grid, the frames of a latent group side by side as channels.

    One ray through the centre of each latent cell stands for the mean over the cell. Latent frame 0 sees
    frame 0 ``temporal`` times; latent frame g >= 1 sees frames temporal (g - 1) + 1 … temporal g.

    Args:
        c2w: [B, V, T, 4, 4].
        K: [B, V, 3, 3] in pixels.
        height, width: of the pictures, in pixels.
        temporal, spatial: compression of the tokenizer.

    Returns:
        [B, V, 6 temporal, t, h, w] float32, channels frame by frame.
    """
    origins, directions = grid_rays(c2w, K, height, width, spatial)
    plucker = torch.cat([torch.linalg.cross(origins, directions, dim=3), directions], dim=3)  # [B, V, T, 6, h, w]
    plucker = torch.cat([plucker[:, :, :1].expand(-1, -1, temporal - 1, -1, -1, -1), plucker], dim=2)
    return plucker.unflatten(2, (-1, temporal)).flatten(3, 4).transpose(2, 3)
