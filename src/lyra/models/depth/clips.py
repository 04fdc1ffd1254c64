"""Depth of clips, picture by picture in one unit."""

import torch
from torch import Tensor

from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.models.depth.model import DepthNet


@torch.no_grad()
def clip_depth(depth_net: DepthNet, rgb: Tensor) -> Tensor:
    """Predicted depth of B clips, in units of the median of each clip's first picture.

    Args:
        depth_net: single-image depth network; it sees every picture alone.
        rgb: [B, T, 3, H, W] 0…1 of cameras that stand still, H and W multiples of 32.

    Returns:
        [B, T, H, W] z, the sky at FAR_DEPTH.
    """
    depth, _, _ = depth_net.infer(rgb.flatten(0, 1), thorough=False)
    return steady_depth(depth.unflatten(0, rgb.shape[:2]))


def steady_depth(depth: Tensor) -> Tensor:
    """Bring every picture of a standing camera to the unit of its clip's first one.

    The network measures each picture by its own median, which jumps when something large moves or a patch of sky comes
    and goes. Most of what a standing camera sees stays where it is, so the median ratio to the first picture, over what
    is sky in neither, is 1 in one unit. Batched, without synchronisation.

    Args:
        depth: [B, T, H, W] z, the sky at FAR_DEPTH.

    Returns:
        [B, T, H, W] z; a picture that shares no surface with the first one stays as it is.
    """
    log_depth = depth.log()
    surface = depth < FAR_DEPTH
    ratio = torch.where(surface & surface[:, :1], log_depth - log_depth[:, :1], torch.nan)
    shift = torch.nan_to_num(ratio.flatten(2).nanmedian(dim=2).values)[..., None, None]
    steady = (log_depth - shift).exp().clamp(NEAR_DEPTH, FAR_DEPTH)
    return torch.where(surface, steady, FAR_DEPTH)
