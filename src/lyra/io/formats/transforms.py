"""Placing Gaussians that a file keeps in the axes of some node: turned, moved, scaled evenly."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lyra.io.formats.axes import moved_rotations
from lyra.structures import InputError

_TOLERANCE = 1e-3


@dataclass(frozen=True)
class Similarity:
    """x becomes scale x rotation x + shift; rotation [3, 3], shift [3], float64."""

    rotation: np.ndarray
    scale: float
    shift: np.ndarray

    @staticmethod
    def of(matrix: np.ndarray, path: Path, what: str) -> "Similarity":
        """Take a [4, 4] matrix, for column vectors, apart.

        Args:
            matrix: float64.
            path, what: the file it comes from, and what messages call it.

        Raises:
            InputError: it mirrors, shears, scales unevenly, or is not finite: Gaussians cannot follow.
        """
        block = matrix[:3, :3]
        if np.isfinite(matrix).all() and np.linalg.det(block) > 0:
            scale = float(np.cbrt(np.linalg.det(block)))
            rotation = block / scale
            if np.abs(rotation.T @ rotation - np.eye(3)).max() < _TOLERANCE:
                return Similarity(rotation, scale, matrix[:3, 3])
        raise InputError(
            f"{what} {path} places its Gaussians by a transform that mirrors, shears or scales unevenly; apply it first"
        )

    def moved(self, means: np.ndarray, quats: np.ndarray, scales: np.ndarray) -> tuple[np.ndarray, ...]:
        """Means [N, 3], quaternions [N, 4] (w x y z) and scales [N, 3] in the outer axes, float32."""
        if self.scale == 1 and np.array_equal(self.rotation, np.eye(3)):
            return means + self.shift.astype(np.float32), quats, scales
        turned = (self.scale * means.astype(np.float64) @ self.rotation.T + self.shift).astype(np.float32)
        return turned, moved_rotations(quats, self.rotation), scales * np.float32(self.scale)
