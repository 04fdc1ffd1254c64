"""Structural similarity (Wang, Bovik, Sheikh and Simoncelli, 2004)."""

import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.structures import InputError, check_shapes

_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2


def ssim(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """SSIM of pictures in 0..1 with the 11-pixel Gaussian window of sigma 1.5, per channel, then averaged.

    Only windows that lie inside the picture count and, with a mask, only those without a masked-out pixel, so that the
    score never depends on pixels that do not count. Differentiable.

    Args:
        a: [N, 3, H, W].
        b: [N, 3, H, W].
        mask: [N, H, W], true where a pixel counts; all count when absent.

    Returns:
        [N]; 1 for equal pictures, NaN where no window counts.

    Raises:
        InputError: a side is shorter than the window.
        ValueError: the shapes do not agree.
    """
    check_shapes("ssim", a=(a, "N 3 H W"), b=(b, "N 3 H W"))
    if min(a.shape[-2:]) < _WINDOW:
        raise InputError(f"ssim: pictures of {a.shape[-2]}x{a.shape[-1]} are below {_WINDOW} pixels; use larger ones")
    if mask is not None:
        # Infinite or NaN values outside the mask would spoil the sums of other windows' rows.
        check_shapes("ssim", a=(a, "N 3 H W"), mask=(mask, "N H W"))
        valid = mask.bool()
        a, b = (torch.where(valid[:, None], picture, 0) for picture in (a, b))
    a, b = a.float(), b.float()
    moments = _blur(torch.cat((a, b, a * a, b * b, a * b), dim=1))
    mean_a, mean_b, square_a, square_b, product = moments.chunk(5, dim=1)
    variance_a, variance_b = square_a - mean_a**2, square_b - mean_b**2
    covariance = product - mean_a * mean_b
    luminance = (2 * mean_a * mean_b + _C1) / (mean_a**2 + mean_b**2 + _C1)
    structure = (2 * covariance + _C2) / (variance_a + variance_b + _C2)
    similarity = (luminance * structure).mean(dim=1)
    if mask is None:
        return similarity.mean(dim=(1, 2))
    counted = F.max_pool2d((~valid).float()[:, None], _WINDOW, stride=1)[:, 0] == 0
    return torch.where(counted, similarity, 0).sum(dim=(1, 2)) / counted.sum(dim=(1, 2))


def _blur(x: Tensor) -> Tensor:
    """Gaussian means of [N, C, H, W] over every whole window, [N, C, H - 10, W - 10]."""
    offsets = torch.arange(_WINDOW, device=x.device, dtype=x.dtype) - (_WINDOW - 1) / 2
    weights = torch.exp(-(offsets**2) / (2 * _SIGMA**2))
    weights = weights / weights.sum()
    channels = x.shape[1]
    x = F.conv2d(x, weights.view(1, 1, -1, 1).expand(channels, 1, -1, 1), groups=channels)
    return F.conv2d(x, weights.view(1, 1, 1, -1).expand(channels, 1, 1, -1), groups=channels)
