"""Depth of frames that a 3D cache shows in part."""

import torch
from torch import Tensor

from lyra.geometry.alignment import align_log_depth
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.models.depth.model import DepthNet


@torch.no_grad()
def aligned_depth(
    depth_net: DepthNet, rgb: Tensor, cache_depth: Tensor, cache_mask: Tensor, settled: bool = True
) -> Tensor:
    """Depth of imagined frames: the 3D cache where it is visible, the network aligned to it elsewhere.

    Args:
        depth_net: single-image depth network.
        rgb: [B, 3, H, W] imagined frames 0…1.
        cache_depth: [B, H, W] splatted z, 0 in holes.
        cache_mask: [B, H, W] bool.
        settled: put the network's depth edges where the pictures have them.

    Returns:
        [B, H, W] z in the units of the cache, within the depth range of the scene.
    """
    estimate, _, _ = depth_net.infer(rgb.clamp(0, 1), settled, thorough=False)
    aligned = align_log_depth(estimate.log(), cache_depth, cache_mask)
    return aligned.clamp(NEAR_DEPTH, FAR_DEPTH)
