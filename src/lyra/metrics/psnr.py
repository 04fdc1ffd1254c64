"""Peak signal-to-noise ratio."""

import torch
from torch import Tensor

from lyra.structures import check_shapes


def psnr(a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """PSNR in dB of pictures in 0..1: -10 log10 of the mean squared difference.

    Args:
        a: [N, 3, H, W].
        b: [N, 3, H, W].
        mask: [N, H, W], true where a pixel counts; all count when absent.

    Returns:
        [N]; infinite for equal pictures, NaN where no pixel counts.

    Raises:
        ValueError: the shapes do not agree.
    """
    check_shapes("psnr", a=(a, "N 3 H W"), b=(b, "N 3 H W"))
    squared = (a.float() - b.float()).square().mean(dim=1)
    if mask is None:
        error = squared.mean(dim=(1, 2))
    else:
        check_shapes("psnr", a=(a, "N 3 H W"), mask=(mask, "N H W"))
        valid = mask.bool()
        error = torch.where(valid, squared, 0).sum(dim=(1, 2)) / valid.sum(dim=(1, 2))
    return -10 * torch.log10(error)
