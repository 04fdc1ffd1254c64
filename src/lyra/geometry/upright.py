"""What stands upright in a picture stands upright in its depth, and what is level is level.

A network's depth bends walls, towers and trunks, by a tenth of their distance, which does not show in a depth map and
does from another camera. Where the slope of depth is nearer to that of an upright surface than to that of a level
one it is set to the former, and where it is near the latter, to that: much of what is built, and of what grows, is one
of both (after the worlds of Coughlan and Yuille, "Manhattan World", ICCV 1999). What is neither, such as a face, is
seldom seen under a flat angle: a slope as steep as that is made less. The depth whose slopes come nearest to these by
least squares, while it stays near the old one, solves a screened Poisson equation.
"""

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.geometry.compiled import compiled

UPRIGHT = (0.3, 0.5)
"""A slope is set wholly if it is as near as this to that of an upright surface, where a level one is 1 away, and not at
all from the second number on."""
LEVEL = (0.25, 0.45)
"""The same for being near to a level one."""
NEITHER = (0.35, 0.6)
"""From the second of these distances on to both a surface is neither."""
NEXT_TO_HORIZON, STEEP = 0.04, 1.2
"""Slopes of the view below or above the horizon between which a level surface is told from an upright one; a place
next to the horizon is still told to be upright."""
STEEPEST = 1.5
"""Slopes of depth by the distance across are kept near this, the tangent of 56 degrees, on what is neither upright nor
level; twice as steep ones are wholly."""
WINDOW = (9, 7)
"""Slopes are means over so many rows and columns."""
STEP, KINK = 0.06, 0.03
"""Neighbours whose log depth differs by more than the first are two surfaces; the more of the second it differs by, the
less their depths change together."""
KEPT = 3e-4
"""Weight of the old log depth of a pixel; that of a slope is 1."""
LOOSE = 1e-4
"""Weight of what neighbours on two surfaces have in common."""
PRECISION, MOST_ROUNDS = 1e-3, 1000
"""When the equation counts as solved."""


@torch.no_grad()
def set_upright(depth: Tensor, sky: Tensor, gravity: Tensor, focal: float) -> Tensor:
    """Let surfaces that are nearly upright, or nearly level, be so, and others be less steep.

    Args:
        depth: [H, W] z, positive.
        sky: [H, W] bool, keeps its depth.
        gravity: [3] direction in the camera's frame (OpenCV axes), y > 0.
        focal: focal length in pixels; the principal point is the centre.

    Returns:
        [H, W] float32 z.
    """
    log_depth, below = depth.double().cpu().log(), sky.cpu()
    differences = log_depth.diff(dim=0), log_depth.diff(dim=1)
    apart = below[1:] | below[:-1], below[:, 1:] | below[:, :-1]
    pulls = _pulls(log_depth, differences, apart, gravity, focal)
    weights = [_weights(*pair) for pair in zip(differences, apart, strict=True)]
    pulled = [(weight * pull).numpy() for weight, pull in zip(weights, pulls, strict=True)]
    change = _solved(*pulled, *(weight.numpy() for weight in weights), KEPT, PRECISION, MOST_ROUNDS)
    changed = (log_depth + torch.from_numpy(change)).exp().to(depth.device, torch.float32)
    return torch.where(sky, depth.float(), changed)


def _pulls(
    log_depth: Tensor,
    differences: tuple[Tensor, Tensor],
    apart: tuple[Tensor, Tensor],
    gravity: Tensor,
    focal: float,
) -> tuple[Tensor, Tensor]:
    """Wanted changes of the differences of log depth between rows, [H - 1, W], and between columns, [H, W - 1].

    In units of the focal length, a step along the gravity g moves the pixel (u, v) by g_x - u g_z and g_y - v g_z times
    the inverse depth, and the log depth by g_z times it. A plane that has g as its normal has inverse depths
    proportional to d = g · (u, v, 1).
    """
    down, across = differences
    smooth_down, smooth_across = ((change.abs() < STEP) & ~sky for change, sky in zip(differences, apart, strict=True))
    slope_down, slope_across = _mean(down, smooth_down), _mean(across, smooth_across)
    too_down = smooth_down * _too_steep(down, slope_down, STEEPEST / focal)
    too_across = smooth_across * _too_steep(across, slope_across, STEEPEST / focal)
    height, width = log_depth.shape
    x, z = (gravity[0] / gravity[1]).item(), (gravity[2] / gravity[1]).item()
    u = ((torch.arange(width) + 0.5 - width / 2) / focal).double()
    v = ((torch.arange(height - 1) + 1 - height / 2) / focal).double()[:, None]
    d = x * u + v + z
    level = -1 / (focal * torch.where(d.abs() < 1e-3, 1e-3, d))
    upright = (z / focal - F.pad(slope_across, (0, 1))[:-1] * (x - u * z)) / (1 - v * z)
    place = (slope_down - upright) / (level - upright)
    is_upright = _within(place, UPRIGHT) * (d.abs() < STEEP)
    is_level = _within(place - 1, LEVEL) * (d.abs() < STEEP) * (d.abs() > NEXT_TO_HORIZON)
    pull_down = smooth_down * (is_upright * (upright - down) + is_level * (level - down))
    not_upright, not_level = 1 - _within(place, NEITHER), 1 - _within(place - 1, NEITHER)
    pull_down += (1 - is_upright) * not_level * too_down
    beside, neither = (_beside(part) for part in (is_level, not_upright * not_level))
    pull_across = beside * (across.abs() < KINK) * ~apart[1] * (F.pad(x * level, (0, 0, 0, 1))[:, 1:] - across)
    pull_across += (1 - beside) * neither * too_across
    return pull_down, pull_across


def _too_steep(change: Tensor, slope: Tensor, steepest: float) -> Tensor:
    """What brings differences to the steepest slope where their surface has more, wholly from twice as much on."""
    return (slope.abs() / steepest - 1).clamp(0, 1) * (slope.sign() * steepest - change)


def _beside(part: Tensor) -> Tensor:
    """[H, W - 1] between columns what [H - 1, W] is between rows: the less of both sides, in the last row nothing."""
    padded = F.pad(part, (0, 0, 0, 1))
    return torch.minimum(padded[:, 1:], padded[:, :-1])


def _mean(values: Tensor, counts: Tensor) -> Tensor:
    """[R, C] mean over the window around each place of those values [R, C] that count; near 0 where few do."""
    margins = (WINDOW[0] // 2, WINDOW[1] // 2)
    planes = torch.stack([torch.where(counts, values, 0.0), counts.to(values.dtype)])
    total, share = F.avg_pool2d(planes[None], WINDOW, 1, margins, count_include_pad=False)[0]
    return total / share.clamp(min=0.2)


def _within(distance: Tensor, limits: tuple[float, float]) -> Tensor:
    """1 up to the first limit, 0 from the second on, smooth between."""
    part = ((distance.abs() - limits[0]) / (limits[1] - limits[0])).clamp(0, 1)
    return 1 - part.square() * (3 - 2 * part)


def _weights(difference: Tensor, apart: Tensor) -> Tensor:
    """How firmly neighbours hold together, by the difference of their log depth; nothing holds to the sky."""
    return (torch.exp(-(difference / KINK).square()) + LOOSE).masked_fill(apart, 0.0)


@compiled
def _solved(pull_down, pull_across, weight_down, weight_across, kept, precision, rounds):  # pragma: no cover - compiled
    """[H, W] x with the least sum of w (difference of x - pull)^2 and kept x^2; conjugate gradients, pulls times w."""
    height, width = pull_down.shape[0] + 1, pull_down.shape[1]
    right = np.zeros((height, width))
    diagonal = np.full((height, width), kept)
    for y in range(height):
        for x in range(width):
            if y + 1 < height:
                right[y + 1, x] += pull_down[y, x]
                right[y, x] -= pull_down[y, x]
                diagonal[y + 1, x] += weight_down[y, x]
                diagonal[y, x] += weight_down[y, x]
            if x + 1 < width:
                right[y, x + 1] += pull_across[y, x]
                right[y, x] -= pull_across[y, x]
                diagonal[y, x + 1] += weight_across[y, x]
                diagonal[y, x] += weight_across[y, x]
    solution, rest = np.zeros((height, width)), right.copy()
    way = rest / diagonal
    size = (rest * way).sum()
    enough, image = size * precision * precision, np.empty((height, width))
    for _ in range(rounds):
        if size <= enough:
            break
        for y in range(height):
            for x in range(width):
                value = diagonal[y, x] * way[y, x]
                if y > 0:
                    value -= weight_down[y - 1, x] * way[y - 1, x]
                if y + 1 < height:
                    value -= weight_down[y, x] * way[y + 1, x]
                if x > 0:
                    value -= weight_across[y, x - 1] * way[y, x - 1]
                if x + 1 < width:
                    value -= weight_across[y, x] * way[y, x + 1]
                image[y, x] = value
        far = size / (way * image).sum()
        solution += far * way
        rest -= far * image
        before, size = size, (rest * rest / diagonal).sum()
        way = rest / diagonal + size / before * way
    return solution
