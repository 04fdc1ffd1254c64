"""What depth training minimises.

Depth is compared up to one factor per picture, after Eigen et al. (NeurIPS 2014), with the multi-scale gradient
matching of Li and Snavely, "MegaDepth" (CVPR 2018), both on log depth.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.models.depth.config import DepthLossConfig
from lyra.models.depth.model import DepthPrediction


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of values [B, ...] over mask per item, then over the items that have any: a scalar, 0 where none has."""
    weight = mask.flatten(1).to(values.dtype)
    count = weight.sum(dim=1)
    mean = (values.flatten(1) * weight).sum(dim=1) / count.clamp(min=1)
    return mean.sum() / (count > 0).sum().clamp(min=1)


def robust(difference: Tensor, softness: float) -> Tensor:
    """L1 distance, rounded off below ``softness``: ``sqrt(d^2 + s^2) - s``."""
    return (difference.square() + softness**2).sqrt() - softness


def log_residual(log_depth: Tensor, depth: Tensor, mask: Tensor) -> Tensor:
    """Predicted minus true log depth with its median over the mask removed, per picture; 0 outside the mask.

    The median is treated as a constant. For an L1 distance this leaves the gradient as it is, since the distance to the
    median is stationary in the offset.

    Args:
        log_depth: [B, H, W] predicted.
        depth: [B, H, W] true depth, positive on the mask.
        mask: [B, H, W] bool.
    """
    residual = log_depth - torch.where(mask, depth, 1.0).log()
    offset = torch.where(mask, residual, torch.nan).flatten(1).nanmedian(dim=1).values.nan_to_num(0.0).detach()
    return torch.where(mask, residual - offset[:, None, None], 0.0)


def gradient_difference(residual: Tensor, mask: Tensor, scales: int, softness: float) -> Tensor:
    """Mean robust step of the residual between neighbours, over ``scales`` grids of which each skips half the pixels.

    Args:
        residual: [B, H, W] log-depth residual.
        mask: [B, H, W] bool; a step counts where both of its ends do.
    """
    total = residual.new_zeros(())
    for scale in range(scales):
        step = 2**scale
        values, valid = residual[:, ::step, ::step], mask[:, ::step, ::step]
        across = robust(values[:, :, 1:] - values[:, :, :-1], softness)
        down = robust(values[:, 1:] - values[:, :-1], softness)
        total = total + masked_mean(across, valid[:, :, 1:] & valid[:, :, :-1])
        total = total + masked_mean(down, valid[:, 1:] & valid[:, :-1])
    return total / (2 * scales)


def depth_loss(
    prediction: DepthPrediction,
    depth: Tensor,
    sky: Tensor,
    focal: Tensor,
    config: DepthLossConfig | None = None,
) -> dict[str, Tensor]:
    """Compare a prediction with the truth, in float32 under autocast too.

    Args:
        prediction: of B pictures.
        depth: [B, H, W] true depth in any unit; pixels that are not finite or not positive are left out.
        sky: [B, H, W] bool, true sky; its depth is left out.
        focal: [B] true focal length in pixels over picture width; where it is not finite or not positive it is
            left out.
        config: weights of the terms.

    Returns:
        Scalars: ``scale_invariant``, ``gradient``, ``sky``, ``focal``, and ``total``, their weighted sum.
    """
    config = config or DepthLossConfig()
    with torch.autocast(prediction.log_depth.device.type, enabled=False):
        depth = depth.float()
        mask = ~sky & depth.isfinite() & (depth > 0)
        residual = log_residual(prediction.log_depth.float(), depth, mask)
        known = focal.isfinite() & (focal > 0)
        log_focal = torch.where(known, focal.float(), 1.0).log()
        terms = {
            "scale_invariant": masked_mean(robust(residual, config.softness), mask),
            "gradient": gradient_difference(residual, mask, config.scales, config.softness),
            "sky": F.binary_cross_entropy_with_logits(prediction.sky_logit.float(), sky.float()),
            "focal": masked_mean((prediction.log_focal.float() - log_focal).abs()[:, None], known[:, None]),
        }
    terms["total"] = (
        config.scale_invariant * terms["scale_invariant"]
        + config.gradient * terms["gradient"]
        + config.sky * terms["sky"]
        + config.focal * terms["focal"]
    )
    return terms
