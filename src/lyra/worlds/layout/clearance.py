"""Keeps objects away from the camera and from the paths it may take."""

import numpy as np

from lyra.worlds.layout.builder import Table
from lyra.worlds.world import BOX, CENTRE, CUTOUT, CYLINDER, ELLIPSOID, HALF, QUAD, ROWS

_RAYS_X, _RAYS_Y = 20, 12
# camera positions that must be free, in units of the median depth (x right, y down, z forward)
_PATH = np.array(
    [
        (0, 0, 0), (-0.15, 0, 0), (-0.3, 0, 0), (0.15, 0, 0), (0.3, 0, 0), (0, -0.1, 0), (0, -0.2, 0), (0, 0, -0.2),
        (0, 0, -0.4), (0, 0, 0.15), (0, 0, 0.3), (0, 0, 0.4), (-0.15, 0.06, 0), (-0.1, -0.06, 0),
    ],
    np.float32,
)  # fmt: skip
_MARGIN = 0.14
_NEAREST = 0.15
_EYE_ABOVE_GROUND = 0.02


def clear_the_way(table: Table, c2w: np.ndarray, fov: float) -> Table:
    """Remove the objects (not the building) that stand too near the source camera or in its way."""
    for _ in range(2):
        groups = table.groups
        depth, owner = coarse_depth(table.rows, table.shapes, c2w, fov)
        finite = np.isfinite(depth)
        median = float(np.median(depth[finite])) if finite.any() else 5.0
        near = set(groups[owner[finite & (depth < 0.22 * median)]].tolist())
        path = _PATH * median
        points = path @ c2w[:3, :3].T + c2w[:3, 3]
        distance = _distance(table.rows, points)
        near |= set(groups[(distance < _MARGIN * median).any(1)].tolist())
        near.discard(0)
        if not near:
            break
        table = table.keep(~np.isin(groups, list(near)))
    return table


def has_room(table: Table, c2w: np.ndarray, fov: float) -> bool:
    """Whether no camera position lies inside something or in the ground, and nothing in view is too near.

    Args:
        table: what is left after `clear_the_way`.
        c2w, fov: the source camera.
    """
    rows, shapes = table.rows, table.shapes
    depth, _ = coarse_depth(rows, shapes, c2w, fov)
    finite = depth[np.isfinite(depth)]
    if not len(finite) or finite.min() < _NEAREST * np.median(finite):
        return False
    points = (_PATH * np.median(finite)) @ c2w[:3, :3].T + c2w[:3, 3]
    if (points[:, 1] > -_EYE_ABOVE_GROUND).any():  # y points down
        return False
    matrix = rows[:, ROWS].reshape(-1, 3, 3) / rows[:, HALF][:, :, None]
    square = np.einsum("pij,pnj->pni", matrix, points[None] - rows[:, None, CENTRE]) ** 2
    in_box = (square < 1).all(-1)
    in_tube = (square[..., 0] + square[..., 2] < 1) & (square[..., 1] < 1)
    in_ball = square.sum(-1) < 1
    solid = shapes[:, None]
    inside = np.where(solid == BOX, in_box, np.where(solid == CYLINDER, in_tube, in_ball & (solid >= ELLIPSOID)))
    return not inside.any()


def coarse_depth(rows: np.ndarray, shapes: np.ndarray, c2w: np.ndarray, fov: float) -> tuple[np.ndarray, np.ndarray]:
    """Depth [N] (inf: none) and primitive [N] of a small fan of rays; silhouettes count as whole, tubes as boxes."""
    tangent = np.tan(fov / 2)
    x = np.linspace(-tangent, tangent, _RAYS_X, dtype=np.float32) * 0.95
    y = np.linspace(-tangent, tangent, _RAYS_Y, dtype=np.float32) * 0.95 * 0.6
    fan = np.stack([np.tile(x, _RAYS_Y), np.repeat(y, _RAYS_X), np.ones(_RAYS_X * _RAYS_Y, np.float32)])
    return first_hits(rows, shapes, c2w[:3, 3], c2w[:3, :3] @ fan)


def first_hits(
    rows: np.ndarray, shapes: np.ndarray, origin: np.ndarray, rays: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Multiples of the ``rays`` [3, N] from ``origin`` [3] where they first hit a primitive (inf: none), and which."""
    matrix = rows[:, ROWS].reshape(-1, 3, 3) / rows[:, HALF][:, :, None]
    o = np.einsum("pij,pj->pi", matrix, origin - rows[:, CENTRE])[:, :, None]
    d = matrix @ rays
    t = np.full((len(rows), rays.shape[1]), np.inf, np.float32)
    flat = (shapes == QUAD) | (shapes == CUTOUT)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        hit = -o[flat, 2] / d[flat, 2]
        inside = (np.abs(o[flat, 0] + hit * d[flat, 0]) <= 1) & (np.abs(o[flat, 1] + hit * d[flat, 1]) <= 1) & (hit > 0)
        t[flat] = np.where(inside, hit, np.inf)
        block = (shapes >= BOX) & (shapes < ELLIPSOID)
        first, second = (-1 - o[block]) / d[block], (1 - o[block]) / d[block]
        enter, leave = np.minimum(first, second).max(1), np.maximum(first, second).min(1)
        t[block] = np.where((enter <= leave) & (leave > 0), np.maximum(enter, 0.0), np.inf)
        ball = shapes >= ELLIPSOID
        a, b = (d[ball] ** 2).sum(1), (o[ball] * d[ball]).sum(1)
        root = b * b - a * ((o[ball] ** 2).sum(1) - 1)
        enter = (-b - np.sqrt(np.maximum(root, 0))) / a
        leave = (-b + np.sqrt(np.maximum(root, 0))) / a
        t[ball] = np.where((root >= 0) & (leave > 0), np.maximum(enter, 0.0), np.inf)
    owner = t.argmin(0)
    return t[owner, np.arange(t.shape[1])], owner


def _distance(rows: np.ndarray, points: np.ndarray) -> np.ndarray:
    """[P, N] distance from points to the bounding boxes of the primitives, 0 inside."""
    offset = np.einsum("pij,pnj->pni", rows[:, ROWS].reshape(-1, 3, 3), points[None] - rows[:, None, CENTRE])
    outside = np.maximum(np.abs(offset) - rows[:, None, HALF], 0.0)
    return np.sqrt((outside**2).sum(-1))
