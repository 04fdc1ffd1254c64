"""Pinhole intrinsics and rigid poses in OpenCV axes (x right, y down, z forward)."""

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lyra.structures import InputError

_RIGID_TOLERANCE = 2e-3  # files often carry three or four decimals
_PARALLEL = 1e-6


def intrinsics_from_fov(fov_x: Tensor | float, height: int, width: int) -> Tensor:
    """Intrinsics with square pixels and a centred principal point.

    Args:
        fov_x: [...] horizontal field of view in radians, between 0 and pi.
        height, width: picture size in pixels.

    Returns:
        [..., 3, 3] K in pixels, on the device of ``fov_x``, at least float32.
    """
    if not isinstance(fov_x, Tensor):
        fov_x = torch.tensor(float(fov_x))
    if fov_x.dtype not in (torch.float32, torch.float64):
        fov_x = fov_x.float()
    focal = (width / 2) / torch.tan(fov_x / 2)
    K = torch.zeros(*focal.shape, 3, 3, dtype=focal.dtype, device=focal.device)
    K[..., 0, 0] = focal
    K[..., 1, 1] = focal
    K[..., 0, 2] = width / 2
    K[..., 1, 2] = height / 2
    K[..., 2, 2] = 1
    return K


def invert_intrinsics(K: Tensor) -> Tensor:
    """Inverse of [..., 3, 3] intrinsics whose last row is (0, 0, 1); skew is allowed. Never synchronises."""
    fx, skew, cx = K[..., 0, 0], K[..., 0, 1], K[..., 0, 2]
    fy, cy = K[..., 1, 1], K[..., 1, 2]
    zero, one = torch.zeros_like(fx), torch.ones_like(fx)
    rows = (
        torch.stack([1 / fx, -skew / (fx * fy), (skew * cy - cx * fy) / (fx * fy)], dim=-1),
        torch.stack([zero, 1 / fy, -cy / fy], dim=-1),
        torch.stack([zero, zero, one], dim=-1),
    )
    return torch.stack(rows, dim=-2)


def invert_rigid(matrix: Tensor) -> Tensor:
    """Inverse of [..., 4, 4] rigid transforms: the transposed rotation and the turned, negated translation."""
    rotation = matrix[..., :3, :3].mT
    return rigid(rotation, -(rotation * matrix[..., None, :3, 3]).sum(dim=-1))


def compose(first: Tensor, second: Tensor) -> Tensor:
    """Matrix product of [..., 4, 4] transforms at full precision (see `transform_points`)."""
    return (first[..., :, :, None] * second[..., None, :, :]).sum(dim=-2)


def transform_points(points: Tensor, matrix: Tensor) -> Tensor:
    """Apply transforms to points, written out so that neither TF32 nor autocast can coarsen the coordinates.

    Args:
        points: [..., N, 3].
        matrix: [..., 4, 4]; leading axes broadcast.

    Returns:
        [..., N, 3].
    """
    columns = matrix[..., None, :3, :]
    moved = points[..., 0, None] * columns[..., 0]
    moved = moved + points[..., 1, None] * columns[..., 1]
    moved = moved + points[..., 2, None] * columns[..., 2]
    return moved + columns[..., 3]


def rigid(rotation: Tensor, translation: Tensor) -> Tensor:
    """[..., 4, 4] transform from a [..., 3, 3] rotation and a [..., 3] translation."""
    top = torch.cat([rotation, translation[..., None]], dim=-1)
    bottom = torch.zeros_like(top[..., :1, :])
    bottom[..., 0, 3] = 1
    return torch.cat([top, bottom], dim=-2)


def look_at(eye: Tensor, target: Tensor, up: Tensor | Sequence[float] = (0.0, -1.0, 0.0)) -> Tensor:
    """Camera-to-world poses of cameras at ``eye`` that look at ``target``.

    Args:
        eye, target: [..., 3] world positions, broadcast against each other; they must differ.
        up: [..., 3] world direction that appears upwards; the default is up in OpenCV axes. Where it is parallel to
            the viewing direction another axis replaces it.

    Returns:
        [..., 4, 4] c2w.
    """
    eye, target = torch.broadcast_tensors(eye, target)
    up = torch.as_tensor(up, dtype=eye.dtype, device=eye.device).expand_as(eye)
    forward = torch.nn.functional.normalize(target - eye, dim=-1)
    right = torch.linalg.cross(-up, forward)
    spare = torch.linalg.cross(-up.roll(1, dims=-1), forward)
    parallel = right.norm(dim=-1, keepdim=True) < _PARALLEL * up.norm(dim=-1, keepdim=True)
    right = torch.nn.functional.normalize(torch.where(parallel, spare, right), dim=-1)
    down = torch.linalg.cross(forward, right)
    return rigid(torch.stack([right, down, forward], dim=-1), eye)


def require_rigid(c2w: Tensor, name: str) -> None:
    """Check that [T, 4, 4] (or [4, 4]) matrices are rigid transforms: a rotation and a translation.

    Args:
        c2w: poses, in either direction.
        name: what the message calls them, such as a file name.

    Raises:
        InputError: a matrix is not finite, has another last row than (0, 0, 0, 1), or its upper left 3 x 3 block is
            singular, mirrored, scaled or sheared; the message names the first such frame and the reason.
    """
    poses = c2w.detach().reshape(-1, 4, 4).double().cpu()
    for frame, pose in enumerate(poses):
        reason = _why_not_rigid(pose)
        if reason is not None:
            raise InputError(f"{name}: the pose of frame {frame} {reason}; give rigid 4 x 4 poses (rotation and shift)")


def _why_not_rigid(pose: Tensor) -> str | None:
    """The sentence part that says what is wrong with a [4, 4] float64 pose, or None."""
    if not torch.isfinite(pose).all():
        return "has entries that are not finite numbers"
    if (pose[3] - torch.tensor([0.0, 0.0, 0.0, 1.0], dtype=pose.dtype)).abs().max() > _RIGID_TOLERANCE:
        return "has a last row other than 0 0 0 1 (is the matrix transposed?)"
    block = pose[:3, :3]
    gram = block.T @ block
    square = gram.diagonal().mean().item()
    if abs(torch.linalg.det(block).item()) <= 1e-6 * max(square, 1e-30) ** 1.5:
        return "is singular"
    if torch.linalg.det(block).item() < 0:
        return "is mirrored (its determinant is negative)"
    identity = torch.eye(3, dtype=pose.dtype)
    if (gram / square - identity).abs().max() > 2 * _RIGID_TOLERANCE:
        return "is sheared or unevenly scaled"
    if abs(math.sqrt(square) - 1) > _RIGID_TOLERANCE:
        return f"is scaled by {math.sqrt(square):.4g}"
    return None
