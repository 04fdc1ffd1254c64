"""Which way is down, from a picture and its depth.

Two witnesses are asked. The ground: a plane on which inverse depth is an affine function of the pixel, so that the
lower half of a depth map shows it wherever it is seen. And upright edges: they meet in one point of the picture, the
vanishing point of gravity (Hartley and Zisserman, "Multiple View Geometry", chapter 8).
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.line_segments import line_segments

STEEPEST = 1.2
"""Cameras that look farther down than this slope, or that far up, are not believed."""
ROLL = 0.2
"""Largest slope of the horizon in the picture."""
GROUND_SHARE, GROUND_ERROR = 0.35, 0.06
"""A plane is the ground if so many pixels of the lower half lie on it, by relative inverse depth."""
GROUND_RIVAL = 0.7
"""And if it has so much of the support of the best plane, which may stand."""
UPRIGHT_SLOPE, UPRIGHT_ERROR = 0.36, 2.0
"""Edges that lean less are asked; degrees by which one may miss the vanishing point."""
UPRIGHT_COUNT, UPRIGHT_LENGTH, UPRIGHT_SHARE = 20, 400.0, 0.4
"""So many edges must agree, of so many pixels of length together in a picture whose shorter side has 256, and of so
much of the length of all that are asked."""
_TRIALS, _STEP, _LEAST_PIXELS = 300, 4, 100


def find_gravity(depth: Tensor, sky: Tensor, rgb: Tensor, focal: float) -> Tensor | None:
    """Direction of gravity in the camera's frame.

    Args:
        depth: [H, W] z.
        sky: [H, W] bool.
        rgb: [3, H, W] 0…1.
        focal: focal length in pixels; the principal point is the centre.

    Returns:
        [3] float32 unit vector on the CPU, y > 0 (OpenCV axes); ``None`` where neither witness says enough.
    """
    ground = _ground(depth.double().cpu().numpy(), sky.cpu().numpy(), focal)
    down = ground if ground is not None else _upright(line_segments(rgb).double().numpy(), depth.shape, focal)
    return None if down is None else F.normalize(torch.tensor(down, dtype=torch.float32), dim=0)


def _ground(depth: np.ndarray, sky: np.ndarray, focal: float) -> tuple[float, float, float] | None:
    """Gravity (x, 1, z) from the plane that most of the lower half lies on."""
    height, width = depth.shape
    rows, columns = np.mgrid[height // 2 : height : _STEP, 0:width:_STEP]
    seen = ~sky[rows, columns]
    u = (columns[seen] + 0.5 - width / 2) / focal
    v = (rows[seen] + 0.5 - height / 2) / focal
    if len(u) < _LEAST_PIXELS:
        return None
    inverse = 1 / depth[rows, columns][seen]
    points = np.stack([u, v, np.ones_like(u)], axis=1)
    drawn = np.random.default_rng(0).integers(len(u), size=(_TRIALS, 3))
    three = points[drawn]
    apart = np.abs(np.linalg.det(three)) > 1e-3
    planes = np.linalg.solve(three[apart], inverse[drawn][apart][..., None])[..., 0]
    miss = (planes @ points.T) / inverse - 1
    votes = np.clip(1 - (miss / GROUND_ERROR) ** 2, 0, None).mean(axis=1)
    limits = np.array([ROLL, STEEPEST]) * planes[:, 1:2]
    could_be = (np.abs(planes[:, ::2]) < limits).all(axis=1)
    least = max(GROUND_SHARE, GROUND_RIVAL * votes.max(initial=0.0))
    if not (votes[could_be] > least).any():
        return None
    best = planes[could_be][votes[could_be].argmax()]
    return best[0] / best[1], 1.0, best[2] / best[1]


def _upright(segments: np.ndarray, size: tuple[int, ...], focal: float) -> tuple[float, float, float] | None:
    """Gravity (x, 1, z) from edges [N, 4] that lean little."""
    height, width = size
    x0, y0, x1, y1 = segments.T
    leaning = np.abs(x1 - x0) < UPRIGHT_SLOPE * np.abs(y1 - y0)
    u = ((x0 + x1) / 2 + 0.5 - width / 2)[leaning] / focal
    v = ((y0 + y1) / 2 + 0.5 - height / 2)[leaning] / focal
    lean = (x1 - x0)[leaning] / (y1 - y0)[leaning]
    length = np.hypot(x1 - x0, y1 - y0)[leaning]
    if len(u) < UPRIGHT_COUNT:
        return None
    # an upright edge at (u, v) points to (x - u z, 1 - v z): lean (1 - v z) = x - u z, linear in x and z
    rows = np.stack([np.ones_like(u), lean * v - u], axis=1)
    pairs = np.random.default_rng(0).choice(len(u), size=(_TRIALS, 2), p=length / length.sum())
    two = rows[pairs]
    sound = np.abs(np.linalg.det(two)) > 0.05
    trials = np.concatenate([np.zeros((1, 2)), np.linalg.solve(two[sound], lean[pairs][sound][..., None])[..., 0]])
    trials = trials[(np.abs(trials[:, 0]) < ROLL) & (np.abs(trials[:, 1]) < STEEPEST)]
    apart = _apart(trials[:, :1], trials[:, 1:], u, v, lean)
    best = trials[(length * np.clip(1 - (apart / UPRIGHT_ERROR) ** 2, 0, None)).sum(axis=1).argmax()]
    for _ in range(3):
        agree = _apart(best[0], best[1], u, v, lean) < UPRIGHT_ERROR
        least = max(UPRIGHT_LENGTH * min(height, width) / 256, UPRIGHT_SHARE * length.sum())
        if agree.sum() < UPRIGHT_COUNT or length[agree].sum() < least:
            return None
        weight = np.sqrt(length[agree])[:, None]
        best = np.linalg.lstsq(rows[agree] * weight, lean[agree] * weight[:, 0], rcond=None)[0]
    return float(best[0]), 1.0, float(best[1])


def _apart(x: Any, z: Any, u: np.ndarray, v: np.ndarray, lean: np.ndarray) -> np.ndarray:
    """Degrees between edges and the direction to the vanishing point of gravity (x, 1, z)."""
    return np.degrees(np.abs(np.arctan(lean) - np.arctan2(x - u * z, 1 - v * z)))
