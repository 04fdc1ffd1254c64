"""Between OpenCV's axes and those of formats whose y points up and whose z points at the viewer."""

import numpy as np

FLIP = np.array([1, -1, -1], np.float32)
"""x, y and z of one system in the other: half a turn about x, its own inverse."""


def turned_positions(means: np.ndarray) -> np.ndarray:
    """[N, 3] positions, turned from either system into the other."""
    return means * FLIP


def turned_rotations(quats: np.ndarray) -> np.ndarray:
    """[N, 4] quaternions w x y z, turned from either system into the other.

    With F the half turn, a Gaussian's rotation R becomes F R F. It differs from F R by a half turn of the ellipsoid
    about its own x, which changes nothing, and leaves the upright Gaussian upright.
    """
    return quats * np.array([1, 1, -1, -1], np.float32)


def moved_rotations(quats: np.ndarray, rotation: np.ndarray) -> np.ndarray:
    """[N, 4] quaternions w x y z after the world was turned by ``rotation``, [3, 3]; in the dtype of ``quats``."""
    w, x, y, z = quaternion_of(rotation)
    left = np.array([[w, -x, -y, -z], [x, w, -z, y], [y, z, w, -x], [z, -y, x, w]])
    return (quats @ left.T).astype(quats.dtype)


def quaternion_of(rotation: np.ndarray) -> np.ndarray:
    """[4] quaternion w x y z of a [3, 3] rotation matrix, float64.

    It is the eigenvector to the largest eigenvalue of the matrix K (Bar-Itzhack 2000), which is well conditioned for
    every angle.
    """
    (a, b, c), (d, e, f), (g, h, i) = rotation.astype(np.float64)
    K = np.array(
        [
            [a + e + i, h - f, c - g, d - b],
            [h - f, a - e - i, b + d, c + g],
            [c - g, b + d, e - a - i, f + h],
            [d - b, c + g, f + h, i - a - e],
        ]
    )
    quaternion = np.linalg.eigh(K)[1][:, -1]
    return quaternion if quaternion[0] >= 0 else -quaternion
