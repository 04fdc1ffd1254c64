"""Depth of every picture of a clip becomes one geometry over time: one scale, and no flicker where nothing moves."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import invert_rigid, transform_points
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.geometry.unprojection import unproject
from lyra.structures import Cameras

_GAPS = (1, 2, 4, 8)
_SAMPLE = 4
"""Scales are compared on every so many pixels."""
_SAME_COLOUR = 0.06
_COMPARABLE = 0.7
"""Log depth ratios beyond this, around their median, say that something else is seen."""


@dataclass(frozen=True)
class SteadyConfig:
    """How far depth is evened out in time.

    Attributes:
        window: pictures before and after that lend their depth; 0 aligns the scales only.
        colour: difference at which another picture no longer shows the same thing.
        depth: the same of log depth.
    """

    window: int = 8
    colour: float = _SAME_COLOUR
    depth: float = 0.15


@torch.no_grad()
def steady(
    rgb: Tensor, depth: Tensor, cameras: Cameras, config: SteadyConfig | None = None, known: Tensor | None = None
) -> Tensor:
    """Align the scales of T depth maps, and average them where pictures show the same thing.

    The factor of each frame solves, by least squares over pairs of frames, the medians of the log depth ratios on
    pixels that look alike. Then every pixel takes the mean over the frames around, each looked up where its point lies
    there, weighted by how alike colour and depth are: what moves keeps its own depth, what stands still gets one.

    Args:
        rgb: [T, 3, H, W] 0…1.
        depth: [T, H, W] z, each in its own scale.
        cameras: T cameras, in the scale of ``depth[0]``, or of ``known``.
        config: window and tolerances.
        known: [S, H, W] final depth of the first S frames, from a chunk before; it is kept, and gives the scale.

    Returns:
        [T, H, W] z in the scale of the first frame, within the range of scenes.
    """
    config = config or SteadyConfig()
    log = depth.clamp(NEAR_DEPTH, FAR_DEPTH).log()
    fixed = 0 if known is None else len(known)
    if known is not None:
        log = torch.cat([known.log(), log[fixed:]])
    far = log >= torch.tensor(0.98 * FAR_DEPTH).log().to(log)
    log = log + _log_scales(rgb, log, far, cameras, fixed)[:, None, None]
    log = torch.where(far, torch.tensor(FAR_DEPTH).log().to(log), log)
    if config.window > 0:
        even = torch.stack([_evened(frame, rgb, log, cameras, config) for frame in range(fixed, len(rgb))])
        log = torch.cat([log[:fixed], even])
    even_depth = log.exp().clamp(NEAR_DEPTH, FAR_DEPTH)
    return even_depth if known is None else torch.cat([known, even_depth[fixed:]])


def _log_scales(rgb: Tensor, log: Tensor, far: Tensor, cameras: Cameras, fixed: int) -> Tensor:
    """[T] log factors; those of the first ``fixed`` frames (at least one) are zero."""
    count = len(rgb)
    small = [part[..., ::_SAMPLE, ::_SAMPLE] for part in (rgb, log, far)]
    rows, values, weights = [], [], []
    for gap in _GAPS:
        for second in range(gap, count):
            first = second - gap
            difference, alike = _compare(first, second, rgb, log, cameras, small)
            alike = alike & ~small[2][second]
            if int(alike.sum()) < 30:
                continue
            chosen = difference[alike]
            middle = chosen.median()
            near = (chosen - middle).abs() < _COMPARABLE
            row = torch.zeros(count, dtype=torch.float64)
            row[first], row[second] = 1.0, -1.0
            rows.append(row)
            values.append(float(chosen[near].median()))
            weights.append(float(alike.float().mean()) ** 0.5)
    scales = torch.zeros(count, dtype=torch.float64)
    free = max(fixed, 1)
    if rows and free < count:
        A = torch.stack(rows)[:, free:] * torch.tensor(weights, dtype=torch.float64)[:, None]
        b = torch.tensor(values, dtype=torch.float64) * torch.tensor(weights, dtype=torch.float64)
        # s_first - s_second = -(log_first - log_second): the medians compare second with first
        H = A.T @ A + 1e-6 * torch.eye(count - free, dtype=torch.float64)
        scales[free:] = torch.linalg.solve(H, A.T @ b)
    return scales.to(log)


def _compare(
    first: int, second: int, rgb: Tensor, log: Tensor, cameras: Cameras, small: list[Tensor]
) -> tuple[Tensor, Tensor]:
    """Log depth of ``second`` less that of ``first`` at the same points, [h, w], and where both look alike."""
    found, z, inside = _look_up(second, first, rgb, log, cameras, _SAMPLE)
    alike = inside & ((found[:3] - small[0][second]).abs().amax(dim=0) < _SAME_COLOUR)
    return z.log() - found[3], alike


def _look_up(
    frame: int, other: int, rgb: Tensor, log: Tensor, cameras: Cameras, step: int = 1
) -> tuple[Tensor, Tensor, Tensor]:
    """What frame ``other`` shows where the points of ``frame`` lie in it.

    Returns:
        colour and log depth [4, h, w] found there, depth [h, w] of the points in that camera, and [h, w] bool inside.
    """
    height, width = log.shape[-2:]
    maps = torch.cat([rgb[other], log[other][None]])
    same = bool((cameras.c2w[frame] - cameras.c2w[other]).abs().max() < 1e-7)
    own = log[frame, ::step, ::step].exp()
    if same:
        return maps[:, ::step, ::step], own, torch.ones_like(own, dtype=torch.bool)
    K = cameras.K[frame]
    points = unproject(log[frame].exp(), K, cameras.c2w[frame])[::step, ::step]
    local = transform_points(points.flatten(0, 1), invert_rigid(cameras.c2w[other])).unflatten(0, own.shape)
    z = local[..., 2].clamp(min=1e-4)
    there = cameras.K[other]
    x = there[0, 0] * local[..., 0] / z + there[0, 2]
    y = there[1, 1] * local[..., 1] / z + there[1, 2]
    inside = (local[..., 2] > 1e-3) & (x > 0.5) & (x < width - 0.5) & (y > 0.5) & (y < height - 0.5)
    grid = torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=-1)[None]
    return F.grid_sample(maps[None], grid, align_corners=False)[0], z, inside


def _evened(frame: int, rgb: Tensor, log: Tensor, cameras: Cameras, config: SteadyConfig) -> Tensor:
    """[H, W] log depth of one frame, averaged over the frames around."""
    total, weights = log[frame].clone(), torch.ones_like(log[frame])
    for other in range(max(0, frame - config.window), min(len(rgb), frame + config.window + 1)):
        if other == frame:
            continue
        found, z, inside = _look_up(frame, other, rgb, log, cameras)
        step = found[3] - z.log()  # what the other frame would change, along this frame's ray as well
        colour = (found[:3] - rgb[frame]).abs().amax(dim=0)
        weight = torch.exp(-((colour / config.colour) ** 2) - (step / config.depth) ** 2) * inside
        total = total + weight * (log[frame] + step)
        weights = weights + weight
    return total / weights
