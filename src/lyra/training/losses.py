"""Losses shared by the tasks."""

import torch
from torch import Tensor
from torch.nn import functional as F


def scale_invariant_depth_loss(predicted: Tensor, target: Tensor, valid: Tensor) -> Tensor:
    """The depth term of Lyra-1: smooth L1 between maps shifted by their median and scaled by their mean deviation.

    Both maps are zeroed outside ``valid``; the median runs over all pixels of the zeroed map, the deviation over the
    valid ones, clamped to 1e-3…1e3; the mean runs over all pixels.

    Args:
        predicted, target: [N, H, W] depth.
        valid: [N, H, W] bool.
    """

    def standardised(depth: Tensor) -> Tensor:
        zeroed = torch.where(valid, depth, 0.0)
        median = zeroed.flatten(1).median(dim=1).values[:, None, None]
        centred = torch.where(valid, zeroed - median, 0.0)
        count = valid.flatten(1).sum(dim=1).clamp(min=1)[:, None, None]
        deviation = centred.abs().flatten(1).sum(dim=1)[:, None, None] / count
        return centred / deviation.clamp(1e-3, 1e3)

    return F.smooth_l1_loss(standardised(predicted), standardised(target))


def gradient_loss(predicted: Tensor, target: Tensor) -> Tensor:
    """Mean absolute difference of horizontal and vertical differences of [N, 3, H, W] pictures."""
    error = predicted - target
    return error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
