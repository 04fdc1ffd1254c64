"""Perceptual distance through a network that the caller passes in."""

from collections.abc import Callable

import torch
from torch import Tensor

from lyra.structures import check_shapes


def lpips(network: Callable[[Tensor, Tensor], Tensor], a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
    """Perceptual distance of pictures in 0..1, as ``network`` defines it.

    With a mask both pictures show ``a`` where a pixel does not count, and the distance is divided by the share of
    pixels that count: equal content adds nothing, so the result is a distance per counted area. Features that see
    across the border of the mask make this approximate.

    Args:
        network: maps two batches [N, 3, H, W] in 0..1 to distances [N].
        a: [N, 3, H, W].
        b: [N, 3, H, W].
        mask: [N, H, W], true where a pixel counts; all count when absent.

    Returns:
        [N]; NaN where no pixel counts.

    Raises:
        ValueError: the shapes do not agree.
    """
    check_shapes("lpips", a=(a, "N 3 H W"), b=(b, "N 3 H W"))
    if mask is None:
        return network(a, b)
    check_shapes("lpips", a=(a, "N 3 H W"), mask=(mask, "N H W"))
    valid = mask.bool()
    return network(a, torch.where(valid[:, None], b, a)) / valid.float().mean(dim=(1, 2))
