"""Errors of depth known up to one factor."""

from typing import NamedTuple

import torch
from torch import Tensor

from lyra.structures import check_shapes


class DepthError(NamedTuple):
    """Errors after median scaling.

    Attributes:
        abs_rel: [N] mean of |prediction - truth| / truth.
        delta1: [N] share of pixels where prediction and truth differ by a factor below 1.25.
    """

    abs_rel: Tensor
    delta1: Tensor


def depth_error(prediction: Tensor, truth: Tensor, mask: Tensor | None = None) -> DepthError:
    """AbsRel and delta1 of depth maps, the medians over the counted pixels brought to agreement first.

    Args:
        prediction: [N, H, W] depth, any positive unit. A value that is not finite makes its item's ``abs_rel`` NaN.
        truth: [N, H, W] depth; values that are not positive and finite never count.
        mask: [N, H, W], true where a pixel counts; all count when absent.

    Returns:
        Two numbers per item; NaN where no pixel counts.

    Raises:
        ValueError: the shapes do not agree.
    """
    check_shapes("depth_error", prediction=(prediction, "N H W"), truth=(truth, "N H W"))
    valid = (truth > 0) & truth.isfinite()
    if mask is not None:
        check_shapes("depth_error", prediction=(prediction, "N H W"), mask=(mask, "N H W"))
        valid = valid & mask.bool()
    valid = valid.flatten(1)
    # Pixels that do not count become equal to 1 in both maps, after the medians have been taken without them.
    p, g = prediction.float().flatten(1), truth.float().flatten(1)
    scale = _median(g, valid) / _median(p, valid)
    p, g = torch.where(valid, p * scale[:, None], 1), torch.where(valid, g, 1)
    count = valid.sum(dim=1)
    relative = ((p - g).abs() / g).sum(dim=1) / count
    close = (p < 1.25 * g) & (g < 1.25 * p) & valid
    return DepthError(relative, close.sum(dim=1) / count)


def _median(values: Tensor, valid: Tensor) -> Tensor:
    """Median of the valid values of each row, [N]; NaN for a row without any."""
    return torch.where(valid, values, torch.nan).nanmedian(dim=1).values
