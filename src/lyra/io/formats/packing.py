"""Arithmetic that several packed formats share: spatial order, quaternions without their largest component."""

import numpy as np

_MORTON_BITS = 10
_NO_EXTENT = 1e-300
_OTHERS = np.array([[1, 2, 3], [0, 2, 3], [0, 1, 3], [0, 1, 2]])
_ROOT_HALF = np.float32(0.5**0.5)


def morton_order(means: np.ndarray) -> np.ndarray:
    """Indices that put points [N, 3] along a Z-order curve through their bounding box, so that neighbours lie together.

    The three axes are cut into 1024 steps each, whose bits are interleaved; points of one cell keep their order.
    """
    key = np.zeros(len(means), np.uint32)
    for axis in range(3):
        place = means[:, axis].astype(np.float64)
        place -= place.min()
        place *= ((1 << _MORTON_BITS) - 1) / max(place.max(), _NO_EXTENT)
        key |= _spread(place.astype(np.uint32)) << np.uint32(axis)
    return np.argsort(key, kind="stable")


def _spread(value: np.ndarray) -> np.ndarray:
    """Bits 0…9 moved to the places 0, 3, … 27 (uint32)."""
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        value = (value | (value << np.uint32(shift))) & np.uint32(mask)
    return value


def smallest_three(quats: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit quaternions without their largest component, which follows from the others.

    Args:
        quats: [N, 4] of any length but 0.

    Returns:
        largest [N], index 0…3 of the component left out (the first of several); others [N, 3], the remaining components
        in their order, of the sign for which the largest is positive, times the root of 2: -1…1.
    """
    size = np.abs(np.ascontiguousarray(quats.T))
    top = size.max(axis=0)
    largest = np.where(size[0] == top, 0, np.where(size[1] == top, 1, np.where(size[2] == top, 2, 3)))
    row = np.arange(len(quats))
    length = np.copysign(np.sqrt(np.einsum("ni,ni->n", quats, quats)), quats[row, largest])
    others = quats[row[:, None], _OTHERS[largest]] / (length * _ROOT_HALF)[:, None]
    return largest, np.clip(others, -1, 1)


def from_smallest_three(largest: np.ndarray, others: np.ndarray) -> np.ndarray:
    """The inverse of `smallest_three`: quaternions [N, 4] float32, of length 1 if ``others`` are small enough."""
    others = others * _ROOT_HALF
    quats = np.empty((len(others), 4), np.float32)
    row = np.arange(len(others))
    quats[row[:, None], _OTHERS[largest]] = others
    quats[row, largest] = np.sqrt(np.maximum(1 - np.einsum("ni,ni->n", others, others), 0))
    return quats


def rounded(values: np.ndarray, top: int) -> np.ndarray:
    """Values 0…1 as whole numbers 0…top (uint32), rounded; what lies outside is clamped."""
    return (np.clip(values, 0, 1) * np.float32(top) + np.float32(0.5)).astype(np.uint32)
