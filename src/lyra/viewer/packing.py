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

from lyra.io.formats.arrays import arrays_of
from lyra.io.formats.packing import morton_order, rounded, smallest_three
from lyra.raster.options import ALPHA_CUT
from lyra.structures import Gaussians

GROUP = 256
_SMALLEST_SCALE = 1e-8
_SMALLEST_LENGTH = 1e-12


def pack(gaussians: Gaussians) -> tuple[bytes, int]:
    """Packed Gaussians and their number; those too faint to be drawn anywhere are left out.

    Raises:
        ValueError: a value is not finite.
    """
    seen = gaussians[~(gaussians.opacities < ALPHA_CUT)]
    if len(seen) == 0:
        return b"", 0
    arrays = arrays_of(seen, "pack")
    order = morton_order(_squeezed(arrays.means))
    low, high, places = _within_groups(arrays.means[order])
    thin, thick, sizes = _within_groups(np.log(np.maximum(arrays.scales[order], _SMALLEST_SCALE)))
    fine = np.concatenate([sizes, arrays.colors[order], arrays.opacities[order, None]], axis=1)
    planes = np.ascontiguousarray(rounded(fine, 255).astype(np.uint8).T)
    planes[:, 1:] -= planes[:, :-1].copy()
    columns = (
        np.concatenate([low, high, thin, thick], axis=1).astype("<f4"),
        _rotation_words(arrays.quats[order]),
        np.ascontiguousarray(rounded(places, 65535).astype("<u2").T),
        planes,
    )
    return b"".join(column.tobytes() for column in columns), len(order)


def _squeezed(means: np.ndarray) -> np.ndarray:
    """Points [N, 3] around their middle, the far ones drawn near: a sky must not decide how fine the order is."""
    offset = means - np.median(means, axis=0)
    distance = np.linalg.norm(offset, axis=1, keepdims=True)
    near = max(float(np.median(distance)), _SMALLEST_LENGTH)
    return offset * (np.log1p(distance / near) / np.maximum(distance, _SMALLEST_LENGTH))


def _within_groups(values: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Bounds [G, 3] of each group of [N, 3] values, and the values as shares of the way between them, [N, 3]."""
    starts = np.arange(0, len(values), GROUP)
    low, high = np.minimum.reduceat(values, starts), np.maximum.reduceat(values, starts)
    group = np.arange(len(values)) // GROUP
    span = (high - low)[group]
    return low, high, (values - low[group]) / np.where(span > 0, span, 1)


def _rotation_words(quats: np.ndarray) -> np.ndarray:
    """[N] words of quaternions [N, 4]."""
    omitted, others = smallest_three(quats)
    parts = rounded(0.5 + 0.5 * others, 1023).astype("<u4")
    return parts[:, 0] | parts[:, 1] << 10 | parts[:, 2] << 20 | omitted.astype("<u4") << 30
