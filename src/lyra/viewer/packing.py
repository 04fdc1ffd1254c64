"""Gaussians as the page receives them: 17 bytes each, quantised in groups.

Little-endian and planar, for N Gaussians in groups of 256 that lie close together (the last group may be smaller):

========  =======  ==================================================================================================
type      shape    content
========  =======  ==================================================================================================
float32   [G, 12]  of each group: smallest x y z, largest x y z, smallest and largest ln(scale) of the three axes
uint32    [N]      rotation: the three smaller components of w x y z, 10 bits each over ±1/√2; the omitted one's number
uint16    [3, N]   x, y, z between the bounds of the group
uint8     [3, N]   ln(scale) between the bounds of the group; this and the planes below as differences modulo 256
uint8     [3, N]   red, green, blue
uint8     [N]      opacity
========  =======  ==================================================================================================

Axes and units stay those of the scene. viewer/src/splats.ts reads it.
"""

import numpy as np

from lyra.raster.options import ALPHA_CUT
from lyra.structures import Gaussians

GROUP = 256
_SMALLEST_SCALE = 1e-8
_MORTON_BITS = 21
_FIELDS = ("means", "quats", "scales", "opacities", "colors")


def pack(gaussians: Gaussians) -> tuple[bytes, int]:
    """Packed Gaussians and their number; those too faint to be drawn anywhere are left out.

    Raises:
        ValueError: a value is not finite.
    """
    arrays = {name: getattr(gaussians, name).detach().float().cpu().numpy() for name in _FIELDS}
    for name, array in arrays.items():
        if not np.isfinite(array).all():
            raise ValueError(f"pack: {name} holds values that are not finite")
    visible = np.flatnonzero(arrays["opacities"] >= ALPHA_CUT)
    order = visible[_along_a_curve(arrays["means"][visible])]
    means, quats, scales, opacities, colors = (arrays[name][order] for name in _FIELDS)
    low, high, places = _within_groups(means)
    thin, thick, sizes = _within_groups(np.log(np.maximum(scales, _SMALLEST_SCALE)))
    bounds = np.concatenate([low, high, thin, thick], axis=1)
    fine = np.concatenate([_steps(sizes, 255), _steps(colors, 255), _steps(opacities[:, None], 255)], axis=1)
    planes = np.ascontiguousarray(fine.astype(np.uint8).T)
    planes[:, 1:] -= planes[:, :-1].copy()
    columns = (bounds.astype("<f4"), _packed_rotations(quats), _steps(places, 65535).astype("<u2").T, planes)
    return b"".join(column.tobytes() for column in columns), len(order)


def _steps(values: np.ndarray, count: int) -> np.ndarray:
    """0…1 to the nearest of 0…count."""
    return np.rint(np.clip(values, 0, 1) * count)


def _within_groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds [G, 3] of each group of [N, 3] values, and the values as shares of the way between them, [N, 3]."""
    starts = np.arange(0, len(values), GROUP)
    if not len(starts):
        return values, values, values
    # What the page sees as bounds is float32, so the shares are taken of that.
    low = np.minimum.reduceat(values, starts).astype(np.float32)
    high = np.maximum.reduceat(values, starts).astype(np.float32)
    group = np.arange(len(values)) // GROUP
    span = (high - low)[group]
    return low, high, (values - low[group]) / np.where(span > 0, span, 1)


def _packed_rotations(quats: np.ndarray) -> np.ndarray:
    """[N] words of unit quaternions [N, 4]."""
    rows = np.arange(len(quats))
    omitted = np.abs(quats).argmax(axis=1)
    # q and -q are the same rotation: the omitted component becomes positive
    unit = quats / np.linalg.norm(quats, axis=1, keepdims=True) * np.sign(quats[rows, omitted])[:, None]
    kept = unit[np.arange(4) != omitted[:, None]].reshape(-1, 3)
    parts = _steps(kept * np.sqrt(0.5) + 0.5, 1023).astype("<u4")
    return parts[:, 0] | parts[:, 1] << 10 | parts[:, 2] << 20 | omitted.astype("<u4") << 30


def _along_a_curve(means: np.ndarray) -> np.ndarray:
    """[N] order in which neighbours lie close together: a Morton curve over space that is compressed far away."""
    if not len(means):
        return np.zeros(0, np.int64)
    offset = means - np.median(means, axis=0)
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    near = max(float(np.median(distance)), 1e-12)
    squeezed = offset * (np.log1p(distance / near) / np.maximum(distance, 1e-12))
    low, span = squeezed.min(axis=0), np.ptp(squeezed, axis=0)
    cells = ((squeezed - low) / np.where(span > 0, span, 1) * (2**_MORTON_BITS - 1)).astype(np.uint64)
    code = sum(_spread(cells[:, axis]) << np.uint64(axis) for axis in range(3))
    return np.argsort(code, kind="stable")


def _spread(values: np.ndarray) -> np.ndarray:
    """The 21 bits of each value, two zero bits between neighbours."""
    steps = ((32, 0x1F00000000FFFF), (16, 0x1F0000FF0000FF), (8, 0x100F00F00F00F00F), (4, 0x10C30C30C30C30C3))
    for shift, mask in (*steps, (2, 0x1249249249249249)):
        values = (values | values << np.uint64(shift)) & np.uint64(mask)
    return values
