"""Picture in, picture with depth and camera out."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.models.depth import DepthNet, photo_depth
from lyra.models.depth.model import SIZE_MULTIPLE
from lyra.structures import Cameras, Frames, InputError, Views


@dataclass(frozen=True)
class PerceiveConfig:
    """What the user knows better than the network.

    Attributes:
        fov: horizontal field of view in degrees of the fitted picture, ``None`` to estimate it.
        reduction: the network sees the picture this many times smaller (and rounded to the sizes it takes).
    """

    fov: float | None = None
    reduction: int = 1

    def __post_init__(self) -> None:
        if self.fov is not None and not 5 <= self.fov <= 150:
            raise InputError(f"field of view {self.fov:g} degrees is outside 5…150; give the horizontal angle")


@torch.no_grad()
def perceive(
    frames: Frames,
    depth_net: DepthNet,
    config: PerceiveConfig | None = None,
    depth: tuple[Tensor, Tensor] | None = None,
) -> Views:
    """Estimate depth and intrinsics of one picture.

    Args:
        frames: one picture of H x W.
        depth_net: network for depth, sky and field of view.
        config: known field of view.
        depth: ([H, W] z depth, [H, W] valid mask) from elsewhere, instead of the network's.

    Returns:
        One view: camera at the identity, depth scaled so that its median is 1, sky at ``FAR_DEPTH``.
    """
    config = config or PerceiveConfig()
    angle = None if config.fov is None else torch.tensor([math.radians(config.fov)])
    if depth is None:
        values, fov = _estimate(frames.rgb, depth_net, angle, config.reduction)
        mask = torch.ones_like(values, dtype=torch.bool)
    else:
        fov = None
        given, valid = (tensor.to(frames.rgb.device) for tensor in depth)
        values = torch.where(valid, given / given[valid].median(), FAR_DEPTH)[None].float()
        values, mask = values.clamp(NEAR_DEPTH, FAR_DEPTH), valid[None]
    if angle is None:
        angle = (depth_net.infer(_reduced(frames.rgb, config.reduction))[2] if fov is None else fov).cpu()
    K = intrinsics_from_fov(angle, frames.height, frames.width).to(frames.rgb)
    c2w = torch.eye(4, device=frames.rgb.device)[None]
    return Views(frames, values, mask, Cameras(c2w, K, frames.height, frames.width))


def _estimate(rgb: Tensor, depth_net: DepthNet, fov_x: Tensor | None, reduction: int) -> tuple[Tensor, Tensor]:
    """Depth [B, H, W] of pictures and field of view [B], estimated on smaller pictures where asked."""
    depth, _, fov = photo_depth(depth_net, _reduced(rgb, reduction), fov_x)
    if depth.shape[-2:] != rgb.shape[-2:]:
        depth = F.interpolate(depth[:, None], size=rgb.shape[-2:], mode="bilinear", align_corners=False)[:, 0]
    return depth, fov


def _reduced(rgb: Tensor, reduction: int) -> Tensor:
    """Pictures so many times smaller, rounded to the sizes that the network takes."""
    if reduction == 1:
        return rgb
    size = [max(SIZE_MULTIPLE, round(side / reduction / SIZE_MULTIPLE) * SIZE_MULTIPLE) for side in rgb.shape[-2:]]
    return F.interpolate(rgb, size=size, mode="bilinear", antialias=True, align_corners=False)
