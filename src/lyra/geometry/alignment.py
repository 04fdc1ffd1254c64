"""Bringing an estimated depth map to the scale of the 3D cache."""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.fill import fill_pyramid

_LARGEST_DEVIATION = 1.0


def align_log_depth(log_depth: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Depth that equals the reference where there is one and continues it with the estimate elsewhere.

    The log factor between reference and estimate is taken where the reference is valid, clamped to its median ± 1,
    and carried smoothly into the rest (`fill_pyramid`). Batched, without synchronisation.

    Args:
        log_depth: [B, H, W] natural log of the estimated depth.
        reference: [B, H, W] depth of the cache.
        mask: [B, H, W] bool, where ``reference`` is valid (positive).

    Returns:
        [B, H, W] depth: ``reference`` on the mask, exp(log_depth + factor) elsewhere; an item without any valid pixel
        keeps its own depth (factor 0).
    """
    factor = torch.log(torch.where(mask, reference, 1.0)) - log_depth
    masked = torch.where(mask, factor, torch.nan).flatten(1)
    median = torch.nan_to_num(masked.nanmedian(dim=1).values)[:, None, None]
    factor = factor.clamp(median - _LARGEST_DEVIATION, median + _LARGEST_DEVIATION)
    filled = fill_pyramid(factor[:, None], mask)[:, 0]
    return torch.where(mask, reference, torch.exp(log_depth + filled))


def align_inverse_depth_affine(depth: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Least-squares affine map of inverse depth onto a reference, as in GEN3C: D' = 1 / (a / D + b).

    Only pixels of the mask count whose inverse depth lies between the 10 % and 90 % quantile of its own map, in both
    maps: of all positive pixels of ``depth``, and of those of ``reference`` in the mask.

    Args:
        depth: [B, H, W] positive depth to align.
        reference: [B, H, W] depth to align to.
        mask: [B, H, W] bool, where ``reference`` is valid.

    Returns:
        [B, H, W] aligned depth; not positive where a / D + b is not. An item with fewer than two usable pixels, or one
        constant depth, gets the pure factor that fits best.
    """
    u, v = 1 / depth.flatten(1).double(), 1 / reference.flatten(1).double()
    known, valid = u > 0, mask.flatten(1) & (reference.flatten(1) > 0)
    inside, usable = _within_quantiles(u, known), _within_quantiles(v, valid)
    keep = inside.strictly & usable.strictly
    keep = torch.where(keep.sum(1, keepdim=True) < 2, inside.at_most & usable.at_most, keep)
    weight = keep.double()
    kept_u, kept_v = torch.where(keep, u, 0.0), torch.where(keep, v, 0.0)
    count = weight.sum(1).clamp(min=1)
    mean_u, mean_v = kept_u.sum(1) / count, kept_v.sum(1) / count
    spread = (weight * (kept_u - mean_u[:, None]).square()).sum(1)
    slope = (weight * (kept_u - mean_u[:, None]) * (kept_v - mean_v[:, None])).sum(1) / spread.clamp(min=1e-300)
    factor = torch.where(mean_u > 0, mean_v / torch.where(mean_u > 0, mean_u, 1.0), 1.0)
    degenerate = spread <= 1e-14 * count * mean_u.square()
    a = torch.where(degenerate, factor, slope)
    b = torch.where(degenerate, torch.zeros_like(a), mean_v - slope * mean_u)
    return (1 / (a[:, None] * u + b[:, None])).to(depth.dtype).view_as(depth)


class _Within(NamedTuple):
    """Which entries [B, N] lie between two quantiles, without and with those on them."""

    strictly: Tensor
    at_most: Tensor


def _within_quantiles(values: Tensor, valid: Tensor, low: float = 0.1, high: float = 0.9) -> _Within:
    """Of the valid entries of each row [B, N], those between its two quantiles (linear interpolation)."""
    ordered = torch.where(valid, values, torch.inf).sort(dim=1).values
    last = (valid.sum(dim=1, keepdim=True) - 1).clamp(min=0)

    def quantile(fraction: float) -> Tensor:
        place = last * fraction
        below = place.floor().long()
        above = torch.minimum(below + 1, last)
        start, end = ordered.gather(1, below), ordered.gather(1, above)
        return torch.where(above > below, start + (end - start) * (place - below), start)

    least, most = quantile(low), quantile(high)
    return _Within(valid & (values > least) & (values < most), valid & (values >= least) & (values <= most))


def align_non_rigid(
    depth: Tensor,
    reference: Tensor,
    mask: Tensor,
    K: Tensor,
    rotation: Tensor | None = None,
    steps: int = 100,
    learning_rate: float = 1e-3,
    smoothness: float = 0.1,
) -> Tensor:
    """Per-pixel factor that moves a depth map onto a reference, as in GEN3C.

    Adam minimises, per item, mean |P(s · depth) - P(reference)| over the valid pixels + ``smoothness`` ·
    mean |box3x3(s) - s| (zero padded) over the factor s, which starts at 1; P is unprojection at integer pixels.

    Args:
        depth: [B, H, W] depth after `align_inverse_depth_affine`.
        reference: [B, H, W] depth of the cache.
        mask: [B, H, W] bool, where ``reference`` is valid.
        K: [B, 3, 3] intrinsics in pixels, without skew.
        rotation: [B, 3, 3] turns the axes of the L1 norm; the published code passes camera-to-world where
            world-to-camera is expected, so that its points are turned by the inverse pose. None is the identity.
        steps, learning_rate, smoothness: of the optimisation.

    Returns:
        [B, H, W] depth · s.
    """
    height, width = depth.shape[-2:]
    column = torch.arange(width, device=depth.device, dtype=depth.dtype)
    row = torch.arange(height, device=depth.device, dtype=depth.dtype)
    x = ((column - K[:, 0, 2, None]) / K[:, 0, 0, None])[:, None, :].expand_as(depth)
    y = ((row - K[:, 1, 2, None]) / K[:, 1, 1, None])[:, :, None].expand_as(depth)
    rays = torch.stack([x, y, torch.ones_like(x)], dim=1)
    if rotation is not None:
        rays = (rotation.to(rays) @ rays.flatten(2)).view_as(rays)
    # both points lie on one ray, so their L1 distance is the depth difference times the ray's L1 length
    per_pixel = rays.abs().mean(dim=1) * mask / mask.flatten(1).sum(1).clamp(min=1)[:, None, None]
    fixed, target = depth.detach(), torch.where(mask, reference, 0.0).detach()
    # a convolution, not a mean: where the factor is still 1 everywhere, rounding decides the sign of the roughness
    box = torch.full((1, 1, 3, 3), 1 / 9, dtype=depth.dtype, device=depth.device)
    with torch.enable_grad():
        factor = torch.ones_like(fixed, requires_grad=True)
        optimiser = torch.optim.Adam([factor], lr=learning_rate)
        for _ in range(steps):
            optimiser.zero_grad()
            smooth = F.conv2d(factor[:, None], box, padding=1)[:, 0]
            roughness = (smooth - factor).abs().mean(dim=(1, 2)).sum()
            loss = ((factor * fixed - target).abs() * per_pixel).sum() + smoothness * roughness
            loss.backward()
            optimiser.step()
    return fixed * factor.detach()
