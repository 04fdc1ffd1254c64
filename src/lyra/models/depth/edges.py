"""Depth edges of a predicted map, put where the picture has them.

A network's depth runs from a near surface to the far one behind it over several pixels. Lifted, such a ramp is a spray
of points between the two. The remedy is that of Shih et al., "3D Photography using Context-aware Layered Depth
Inpainting" (CVPR 2020): a weighted median, here with weights for likeness of colour (Ma et al., "Constant Time Weighted
Median Filtering", ICCV 2013) and for standing on a surface instead of on a ramp.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

REACH = 4
"""The median looks so many pixels to every side."""
SPREAD = 3.0
"""Standard deviation in pixels of the weight for being near."""
LIKENESS = 0.06
"""Standard deviation of the weight for likeness, of the distance between colours 0…1."""
EDGE = 0.1
"""Pixels are looked at whose log depth varies by more within 5 x 5 pixels."""
RAMP, RAMP_WEIGHT = 0.02, 0.02
"""Neighbours whose log depth varies by more within 3 x 3 pixels stand on a ramp and count this much."""
ALIKE, FELLOWS, ROUNDS = 0.05, 3, 2
"""A pixel with fewer neighbours (of 8) whose log depth is as near as this is a stray; looked for so often."""
_TOGETHER = 1 << 16


@torch.no_grad()
def settle_edges(depth: Tensor, sky: Tensor, rgb: Tensor) -> Tensor:
    """Let pixels near depth edges belong to one of the surfaces that meet there.

    On a slope the weights are alike on all sides and the median is the pixel's own depth. Sky keeps its depth and no
    other pixel takes it: where it ends, the network says with a map of its own.

    Args:
        depth: [B, H, W] z, positive.
        sky: [B, H, W] bool.
        rgb: [B, 3, H, W] 0…1, what the depth was predicted from.

    Returns:
        [B, H, W] z; each value of an item is one of its old ones.
    """
    height, width = depth.shape[-2:]
    log_depth = depth.log()
    item, row, column = ((_variation(log_depth, 5) > EDGE) & ~sky).nonzero(as_tuple=True)
    steep = _variation(log_depth, 3) > RAMP
    trust = torch.where(steep, RAMP_WEIGHT, 1.0).masked_fill(sky, 0.0)
    step = torch.arange(-REACH, REACH + 1, device=depth.device)
    down, across = (axis.flatten() for axis in torch.meshgrid(step, step, indexing="ij"))
    closeness = torch.exp((down.square() + across.square()) / (-2 * SPREAD**2))
    colours, settled = rgb.permute(0, 2, 3, 1), log_depth.clone()
    for b, y, x in zip(*(index.split(_TOGETHER) for index in (item, row, column)), strict=True):
        there_y, there_x = y[:, None] + down, x[:, None] + across
        inside = (there_y >= 0) & (there_y < height) & (there_x >= 0) & (there_x < width)
        place = (b[:, None], there_y.clamp(0, height - 1), there_x.clamp(0, width - 1))
        apart = (colours[place] - colours[b, y, x][:, None]).square().sum(dim=-1)
        # the small addend keeps pixels unlike all their neighbours where the plain median puts them
        weight = (trust[place] * torch.exp(apart / (-2 * LIKENESS**2)) + 1e-8 * (trust[place] > 0)) * closeness * inside
        settled[b, y, x] = _weighted_median(log_depth[place], weight)
    settled = _without_strays(settled, sky)
    return torch.where(settled == log_depth, depth, settled.exp())


def _without_strays(log_depth: Tensor, sky: Tensor) -> Tensor:
    """[B, H, W] where pixels that hang between two surfaces, each for itself, have joined the one around them.

    Unlike all colours near it, a pixel of the silhouette can be left on the ramp by `settle_edges`; seen from the side
    it is a speck in the air. It takes the median of the 3 x 3 pixels around it. Sky keeps its depth here, too,
    and lends it to nothing.
    """
    height, width = log_depth.shape[-2:]
    above = F.pad(sky, (1, 1, 1, 1))
    for _ in range(ROUNDS):
        ringed = F.pad(log_depth[:, None], (1, 1, 1, 1), mode="replicate")[:, 0]
        places = [(slice(y, y + height), slice(x, x + width)) for y in range(3) for x in range(3)]
        there = torch.stack([~above[:, y, x] for y, x in places])
        around = torch.where(there, torch.stack([ringed[:, y, x] for y, x in places]), log_depth)
        fellows = (there & ((around - log_depth).abs() < ALIKE)).sum(dim=0) - 1
        stray = (fellows < FELLOWS) & ~sky
        log_depth = torch.where(stray, around.median(dim=0).values, log_depth)
    return log_depth


def _variation(maps: Tensor, window: int) -> Tensor:
    """Largest minus smallest value of [B, H, W] in the window around every pixel."""
    margin = window // 2
    high, low = (F.max_pool2d(values[:, None], window, 1, margin)[:, 0] for values in (maps, -maps))
    return high + low


def _weighted_median(values: Tensor, weights: Tensor) -> Tensor:
    """[N] the values [N, K] at which half of the weights [N, K] is reached."""
    ordered, order = values.sort(dim=1)
    reached = weights.gather(1, order).cumsum(dim=1)
    middle = (reached < reached[:, -1:] / 2).sum(dim=1, keepdim=True).clamp(max=values.shape[1] - 1)
    return ordered.gather(1, middle)[:, 0]
