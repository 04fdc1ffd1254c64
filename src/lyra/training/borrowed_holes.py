"""Holes of one clip's cache, put into the pictures of another."""

import torch
from torch import Tensor

from lyra.geometry.fill import outer_holes, widened
from lyra.stages.warp import fill_holes

RIM = 2
"""Pixels at depth edges that no cache trusts: half the window of `lyra.geometry.reliable_mask`."""


def borrowed_holes(pictures: Tensor, mask: Tensor) -> Tensor:
    """Pictures as a cache that is blind outside ``mask`` would show them.

    At the rim of a hole within the picture stand the pixels of depth edges, which are not splatted but drawn into a
    cache (`lyra.stages.draw_edges`), nearly as they are; here they are exactly that. The rest is filled.

    Args:
        pictures: [B, 3, H, W] 0…1.
        mask: [B, H, W] bool, what is visible.
    """
    shown = mask | (widened(mask, RIM) & ~outer_holes(mask))
    return torch.where(shown[:, None], pictures, fill_holes(pictures, mask))
