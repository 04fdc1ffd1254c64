"""Filling holes in maps: smoothly from a pyramid, from what is trusted, or with the nearest valid pixel."""

import torch
from torch import Tensor
from torch.nn import functional as F

_CHUNK_ELEMENTS = 1 << 24
_WHOLE = 4.0
_TINY = 1e-12


def fill_pyramid(values: Tensor, weights: Tensor) -> Tensor:
    """Fill holes with a weighted push-pull pyramid.

    Push: 2 x 2 means of weight · value and of weight, level by level down to one pixel (odd borders average the
    pixels there are). Pull: from the coarsest level back, a pixel without weight takes the bilinear enlargement of
    the filled level below. Only tensor operations, nothing synchronises.

    Args:
        values: [B, C, H, W]; what stands in holes is ignored, even if not finite.
        weights: [B, H, W] non-negative confidence; 0 marks a hole.

    Returns:
        [B, C, H, W] float; pixels with weight keep their own value, an item without any weight becomes 0.
    """
    weight = weights[:, None].to(values.dtype)
    valid = weight > 0
    total = torch.where(valid, values * weight, 0.0)
    own = torch.where(valid, values, 0.0)
    levels = [(own, valid)]
    while total.shape[-2] > 1 or total.shape[-1] > 1:
        total, weight = _halve(total), _halve(weight)
        valid = weight > 0
        levels.append((total / torch.where(valid, weight, 1.0), valid))
    filled = levels[-1][0]
    for own, valid in reversed(levels[:-1]):
        coarse = F.interpolate(filled, size=own.shape[-2:], mode="bilinear", align_corners=False)
        filled = torch.where(valid, own, coarse)
    return filled


def fill_trusted(values: Tensor, mask: Tensor, trust: Tensor) -> Tensor:
    """Fill holes from the pixels that are trusted, even where others are nearer.

    As `fill_pyramid`, but what stands beside a hole does not count for being there alone: on the way back every level
    takes as much of its own mean as the trust in it, four times the mean one of its pixels and at most all, and the
    rest from the level below.

    Args:
        values: [B, C, H, W]; what stands in holes is ignored, even if not finite.
        mask: [B, H, W] bool, False marks a hole.
        trust: [B, H, W] 0…1.

    Returns:
        [B, C, H, W] float; valid pixels keep their own value, an item without any becomes 0.
    """
    weight = (trust * mask)[:, None].to(values.dtype).clamp(min=0)
    total = torch.where(mask[:, None], values, 0.0) * weight
    levels = []
    while total.shape[-2] > 1 or total.shape[-1] > 1:
        levels.append((total / weight.clamp(min=_TINY), (_WHOLE * weight).clamp(max=1)))
        total, weight = _halve(total), _halve(weight)
    filled = total / weight.clamp(min=_TINY)
    for own, share in reversed(levels):
        filled = F.interpolate(filled, size=own.shape[-2:], mode="bilinear", align_corners=False).lerp(own, share)
    return torch.where(mask[:, None], values, filled)


def widened(mask: Tensor, pixels: int) -> Tensor:
    """[B, H, W] bool, what lies within so many pixels, in rows and columns, of a mask [B, H, W]."""
    return F.max_pool2d(mask[:, None].float(), 2 * pixels + 1, 1, pixels)[:, 0] > 0


def outer_holes(mask: Tensor) -> Tensor:
    """[B, H, W] bool, holes of ``mask`` that reach the border of the picture along their row or their column."""
    hole = ~mask
    reached = torch.zeros_like(hole)
    for axis in (1, 2):
        for turned in (hole, hole.flip(axis)):
            run = turned.int().cumprod(dim=axis).bool()
            reached |= run if turned is hole else run.flip(axis)
    return reached


def _halve(maps: Tensor) -> Tensor:
    kernel = (min(2, maps.shape[-2]), min(2, maps.shape[-1]))
    return F.avg_pool2d(maps, kernel, ceil_mode=True, count_include_pad=False)


def fill_nearest(values: Tensor, mask: Tensor) -> Tensor:
    """Give every hole the value of the nearest valid pixel (Euclidean, exact; ties go either way).

    The distance is found axis by axis: the nearest valid row in each column, then, for each hole, the best column in
    its row. Work grows with the number of holes times W, memory stays bounded.

    Args:
        values: [B, C, H, W].
        mask: [B, H, W] bool, True where valid.

    Returns:
        [B, C, H, W]; valid pixels are untouched, as is an item without valid pixels.
    """
    height, width = values.shape[-2:]
    device = values.device
    rows = torch.arange(height, device=device)[None, :, None]
    far = 4 * (height + width)
    above = torch.where(mask, rows, -far).cummax(dim=1).values
    below = torch.where(mask, rows, height + far).flip(1).cummin(dim=1).values.flip(1)
    nearest_row = torch.where(rows - above <= below - rows, above, below)
    gap = (nearest_row - rows).square().int()
    columns = torch.arange(width, device=device, dtype=torch.int32)
    filled = values.clone()
    holes = ~mask & mask.flatten(1).any(dim=1)[:, None, None]
    for item, row, column in zip(
        *(index.split(max(1, _CHUNK_ELEMENTS // width)) for index in holes.nonzero(as_tuple=True)), strict=True
    ):
        distance = (column[:, None].int() - columns).square_().add_(gap[item, row])
        best_column = distance.argmin(dim=1)
        best_row = nearest_row[item, row, best_column]
        filled[item, :, row, column] = values[item, :, best_row, best_column]
    return filled
