"""What JPEG leaves of a picture, in tensor operations: 4:2:0 chroma, 8 x 8 cosine blocks, the tables of the standard.

Tables: ITU-T T.81, Annex K.1 and K.2; their scaling with the quality is that of the Independent JPEG Group. Chroma is
averaged over 2 x 2 pixels and enlarged linearly.
"""

import math
from functools import cache

import torch
from torch import Tensor
from torch.nn import functional as F

_LUMA = (
    (16, 11, 10, 16, 24, 40, 51, 61), (12, 12, 14, 19, 26, 58, 60, 55), (14, 13, 16, 24, 40, 57, 69, 56),
    (14, 17, 22, 29, 51, 87, 80, 62), (18, 22, 37, 56, 68, 109, 103, 77), (24, 35, 55, 64, 81, 104, 113, 92),
    (49, 64, 78, 87, 103, 121, 120, 101), (72, 92, 95, 98, 112, 100, 103, 99),
)  # fmt: skip
_CHROMA = (
    (17, 18, 24, 47, 99, 99, 99, 99), (18, 21, 26, 66, 99, 99, 99, 99), (24, 26, 56, 99, 99, 99, 99, 99),
    (47, 66, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99),
    (99, 99, 99, 99, 99, 99, 99, 99), (99, 99, 99, 99, 99, 99, 99, 99),
)  # fmt: skip
_TO_YCBCR = ((0.299, 0.587, 0.114), (-0.168736, -0.331264, 0.5), (0.5, -0.418688, -0.081312))
_TO_RGB = ((1.0, 0.0, 1.402), (1.0, -0.344136, -0.714136), (1.0, 1.772, 0.0))
_LARGE_BLOCK = 16


def jpeg(rgb: Tensor, quality: Tensor) -> Tensor:
    """Code and decode pictures; not differentiable in a useful way.

    Args:
        rgb: [B, 3, H, W] 0…1.
        quality: [B] 1…100.

    Returns:
        [B, 3, H, W] 0…1.
    """
    height, width = rgb.shape[-2:]
    margins = (0, -width % _LARGE_BLOCK, 0, -height % _LARGE_BLOCK)
    levels = (F.pad(rgb, margins, mode="replicate") * 255).round()
    to_ycbcr, to_rgb, luma_steps, chroma_steps = (
        _constant(table, rgb.device, rgb.dtype) for table in (_TO_YCBCR, _TO_RGB, _LUMA, _CHROMA)
    )
    planes = torch.einsum("ij,bjhw->bihw", to_ycbcr, levels)
    luma = _blocks(planes[:, :1] - 128, luma_steps, quality)
    small = _blocks(F.avg_pool2d(planes[:, 1:], 2), chroma_steps, quality)
    chroma = F.interpolate(small, scale_factor=2, mode="bilinear", align_corners=False)
    decoded = torch.einsum("ij,bjhw->bihw", to_rgb, torch.cat([luma + 128, chroma], dim=1))
    return (decoded[..., :height, :width].round() / 255).clamp(0, 1)


@cache
def _constant(table: tuple[tuple[float, ...], ...], device: torch.device, dtype: torch.dtype) -> Tensor:
    """A table on a device; copying it there anew would make the host wait each time."""
    return torch.tensor(table, device=device, dtype=dtype)


def _blocks(planes: Tensor, table: Tensor, quality: Tensor) -> Tensor:
    """Quantise the cosine coefficients of [B, C, H, W] planes around 0, block by block."""
    quality = quality.clamp(1, 100)
    scale = torch.where(quality < 50, 5000 / quality, 200 - 2 * quality)[:, None, None]
    steps = ((table * scale + 50) / 100).floor().clamp(1, 255)[:, None, None, None]
    basis = _cosines(planes)
    tiles = planes.unflatten(3, (-1, 8)).unflatten(2, (-1, 8)).transpose(3, 4)  # [B, C, rows, columns, 8, 8]
    coefficients = _both_ways(tiles, basis.T)
    restored = _both_ways((coefficients / steps).round() * steps, basis)
    return restored.transpose(3, 4).flatten(4, 5).flatten(2, 3)


def _both_ways(tiles: Tensor, matrix: Tensor) -> Tensor:
    """matrixᵀ · tile · matrix for every [8, 8] tile, as two large products rather than many small ones."""
    return (tiles.mT @ matrix).mT @ matrix


def _cosines(like: Tensor) -> Tensor:
    """[8, 8] orthonormal cosine transform, one frequency per row."""
    place = torch.arange(8, device=like.device, dtype=like.dtype)
    basis = torch.cos(math.pi / 8 * (place + 0.5) * place[:, None]) / 2
    basis[0] /= math.sqrt(2)
    return basis
