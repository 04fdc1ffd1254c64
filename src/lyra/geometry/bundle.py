"""Cameras from followed points whose depth is roughly known: first each alone, then all together."""

from typing import NamedTuple

import torch
from torch import Tensor

from lyra.geometry.cameras import compose, invert_rigid, rigid

_HYPOTHESES, _PICKED, _ROUNDS = 96, 6, 8
_DAMPING = 1e-6


class BundleResult(NamedTuple):
    """What the points say about the cameras.

    ``w2c`` [T, 4, 4] float64; ``points`` [N, 3] in the world; ``fits`` [T, N] bool: seen, and within ``inlier`` pixels;
    ``error`` the median distance of those in pixels.
    """

    w2c: Tensor
    points: Tensor
    fits: Tensor
    error: float


class _Seen(NamedTuple):
    """Observations: ``pixels`` [T, N, 2], ``seen`` [T, N], ``on_depth`` [T, N] weights of the words on depth."""

    pixels: Tensor
    seen: Tensor
    on_depth: Tensor
    depth: Tensor
    K: Tensor


def rotation_from_vector(vector: Tensor) -> Tensor:
    """[..., 3, 3] rotations about [..., 3] axis times angle (Rodrigues)."""
    return torch.matrix_exp(_cross(vector))


def pose_from_points(
    points: Tensor, pixels: Tensor, K: Tensor, start: Tensor, generator: torch.Generator, inlier: float = 2.0
) -> tuple[Tensor, Tensor]:
    """World-to-camera pose of a camera that sees known points, some of which moved or are wrong.

    Gauss-Newton on many random subsets of six points at once, each from ``start``; the pose that most points agree
    with is refined on those (random sample consensus, Fischler and Bolles 1981).

    Args:
        points: [N, 3] float64 in the world, N at least 6.
        pixels: [N, 2] where they are seen.
        K: [3, 3] float64.
        start: [4, 4] float64 w2c nearby.
        generator: on the CPU.
        inlier: pixels.

    Returns:
        [4, 4] w2c and [N] bool, the points that agree.
    """
    count = len(points)
    picks = torch.stack([torch.randperm(count, generator=generator)[:_PICKED] for _ in range(_HYPOTHESES)])
    poses = start.expand(_HYPOTHESES + 1, 4, 4)
    picked, seen = points[picks], pixels[picks]
    moved = poses[1:]
    for _ in range(_ROUNDS):
        moved = _gauss_newton_step(moved, picked, seen, K)
    poses = torch.cat([start[None], moved])
    error = (_project(poses, points.expand(len(poses), -1, -1), K)[0] - pixels).norm(dim=-1)
    agreed = torch.nan_to_num(error, nan=1e9) < inlier
    best = int(agreed.sum(dim=1).argmax())
    pose, fits = poses[best], agreed[best]
    for scale in (2 * inlier, inlier, inlier):
        for _ in range(4):
            error = (_project(pose[None], points[None], K)[0][0] - pixels).norm(dim=-1)
            weight = 1 / (1 + (error / scale).square())
            pose = _gauss_newton_step(pose[None], points[None], pixels[None], K, weight[None])[0]
    error = (_project(pose[None], points[None], K)[0][0] - pixels).norm(dim=-1)
    fits = torch.nan_to_num(error, nan=1e9) < inlier
    return pose, fits


def bundle(
    points: Tensor,
    pixels: Tensor,
    seen: Tensor,
    home: Tensor,
    depth: Tensor,
    K: Tensor,
    w2c: Tensor,
    rounds: int = 12,
    depth_weight: float = 2.0,
    inlier: float = 1.5,
) -> BundleResult:
    """Refine cameras and points together: robust reprojection errors, and depth as a soft word on each point.

    Levenberg-Marquardt with the points eliminated (Schur complement); Cauchy weights leave out what moves by itself.
    The first camera stays.

    Args:
        points: [N, 3] first guess in the world; pixels: [T, N, 2]; seen: [T, N] bool; home: [N] frame in which
            ``depth`` [N] was estimated; K: [3, 3]; w2c: [T, 4, 4] first guess. All float64.
        rounds: of the solver.
        depth_weight: pixels that an error of 100 % in depth counts as.
        inlier: pixels within which a point agrees.
    """
    frames, count = seen.shape
    on_depth = torch.zeros_like(seen, dtype=points.dtype)
    on_depth[home, torch.arange(count)] = depth_weight
    observed = _Seen(pixels, seen, on_depth, depth, K)
    damping, scale = 1e-3, 4.0
    for turn in range(rounds):
        scale = max(1.0, scale * 0.7)
        new_w2c, new_points = _solve(*_linearise(observed, points, w2c, scale), points, w2c, damping)
        now, cost = _cost(observed, points, w2c, scale), _cost(observed, new_points, new_w2c, scale)
        if cost < now:
            w2c, points, damping = new_w2c, new_points, max(damping / 5, 1e-9)
            if turn > 6 and now - cost < 1e-5 * now:
                break
        else:
            damping *= 10
    error = (_project(w2c, points.expand(frames, -1, -1), K)[0] - pixels).norm(dim=-1)
    fits = seen & (torch.nan_to_num(error, nan=1e9) < inlier)
    typical = float(error[fits].median()) if bool(fits.any()) else float("inf")
    return BundleResult(w2c, points, fits, typical)


def _residuals(observed: _Seen, points: Tensor, w2c: Tensor) -> tuple[Tensor, Tensor]:
    """[T, N, 3] pixel errors and weighted log depth errors, and points in the cameras [T, N, 3]."""
    projected, local = _project(w2c, points.expand(len(w2c), -1, -1), observed.K)
    z = local[..., 2].clamp(min=1e-4)
    on_depth = observed.on_depth * (z.log() - observed.depth.log())
    return torch.cat([projected - observed.pixels, on_depth[..., None]], dim=-1), local


def _cost(observed: _Seen, points: Tensor, w2c: Tensor, scale: float) -> float:
    """What the solver makes smaller: Cauchy costs of pixels, and of depth squares that turn linear beyond 1."""
    residual, local = _residuals(observed, points, w2c)
    error = torch.where(local[..., 2] > 1e-3, residual[..., :2].square().sum(-1) / scale**2, 1e6)
    size = residual[..., 2].abs()
    soft = torch.where(size < 1, size.square(), 2 * size - 1)
    return float((torch.where(observed.seen, torch.log1p(error), 0.0) * scale**2).sum() + soft.sum())


def _linearise(observed: _Seen, points: Tensor, w2c: Tensor, scale: float) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Residuals [T, N, 3], derivatives by poses [T, N, 3, 6] and points [T, N, 3, 3], weights [T, N, 3]."""
    residual, local = _residuals(observed, points, w2c)
    J_local = _projection_jacobian(local, observed.K)
    on_depth = torch.zeros_like(J_local[..., :1, :])
    on_depth[..., 0, 2] = observed.on_depth / local[..., 2].clamp(min=1e-4)
    J_local = torch.cat([J_local, on_depth], dim=-2)
    error = residual[..., :2].square().sum(-1)
    weight = torch.where(observed.seen & (local[..., 2] > 1e-3), 1 / (1 + error / scale**2), 0.0)
    rows = torch.stack([weight, weight, 1 / (1 + residual[..., 2].abs())], dim=-1)
    return residual, J_local @ _pose_jacobian(local), J_local @ w2c[:, None, :3, :3], rows


def _solve(
    residual: Tensor, J_pose: Tensor, J_point: Tensor, weight: Tensor, points: Tensor, w2c: Tensor, damping: float
) -> tuple[Tensor, Tensor]:
    """One damped step with the points eliminated."""
    frames, count = residual.shape[:2]
    weighted_pose, weighted_point = J_pose * weight[..., None], J_point * weight[..., None]
    H_pose = torch.einsum("tnri,tnrj->tij", weighted_pose, J_pose)
    H_point = torch.einsum("tnri,tnrj->nij", weighted_point, J_point)
    H_cross = torch.einsum("tnri,tnrj->ntij", weighted_pose, J_point)
    g_pose = -torch.einsum("tnri,tnr->ti", weighted_pose, residual)
    g_point = -torch.einsum("tnri,tnr->ni", weighted_point, residual)
    eye3, eye6 = torch.eye(3).to(points), torch.eye(6).to(points)
    H_point = H_point + eye3 * (damping * H_point.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + _DAMPING)
    H_pose = H_pose + eye6 * (damping * H_pose.diagonal(dim1=1, dim2=2).mean(1)[:, None, None] + _DAMPING)
    inverse = torch.linalg.inv(H_point)
    cross = H_cross.reshape(count, frames * 6, 3)
    carried = cross @ inverse
    S = torch.block_diag(*H_pose) - torch.einsum("npi,nqi->pq", carried, cross)
    right = g_pose.flatten() - torch.einsum("npi,ni->p", carried, g_point)
    moves = torch.zeros(frames, 6).to(points)
    moves[1:] = torch.linalg.lstsq(S[6:, 6:], right[6:, None]).solution[:, 0].unflatten(0, (frames - 1, 6))
    step = torch.einsum("nij,nj->ni", inverse, g_point - torch.einsum("npi,p->ni", cross, moves.flatten()))
    return _moved(w2c, moves), points + step


def _gauss_newton_step(
    poses: Tensor, points: Tensor, pixels: Tensor, K: Tensor, weight: Tensor | None = None
) -> Tensor:
    """One step of B poses [B, 4, 4] on their points [B, N, 3] and pixels [B, N, 2]."""
    projected, local = _project(poses, points, K)
    J = _projection_jacobian(local, K) @ _pose_jacobian(local)
    front = (local[..., 2] > 1e-3).to(points)
    rows = (front if weight is None else front * weight)[..., None]
    residual = torch.nan_to_num(projected - pixels)
    H = torch.einsum("bnri,bnrj->bij", J * rows[..., None], J) + 1e-4 * torch.eye(6).to(points)
    g = -torch.einsum("bnri,bnr->bi", J * rows[..., None], residual)
    move = torch.linalg.solve(H, g[..., None])[..., 0]
    length = move.norm(dim=-1, keepdim=True)
    return _moved(poses, move * (0.5 / length.clamp(min=0.5)))


def _moved(w2c: Tensor, move: Tensor) -> Tensor:
    """Poses turned by move[3:] and shifted by move[:3], both in camera axes."""
    return compose(rigid(rotation_from_vector(move[..., 3:]), move[..., :3]), w2c)


def _project(w2c: Tensor, points: Tensor, K: Tensor) -> tuple[Tensor, Tensor]:
    """Pixels [B, N, 2] and camera coordinates [B, N, 3] of points [B, N, 3]."""
    local = points @ w2c[:, :3, :3].mT + w2c[:, None, :3, 3]
    z = torch.where(local[..., 2] > 1e-3, local[..., 2], 1e-3)
    x = K[0, 0] * local[..., 0] / z + K[0, 2]
    y = K[1, 1] * local[..., 1] / z + K[1, 2]
    return torch.stack([x, y], dim=-1), local


def _projection_jacobian(local: Tensor, K: Tensor) -> Tensor:
    """[..., 2, 3] derivative of pixels by camera coordinates."""
    x, y, z = local.unbind(-1)
    z = torch.where(z > 1e-3, z, 1e-3)
    zero = torch.zeros_like(z)
    rows = [
        torch.stack([K[0, 0] / z, zero, -K[0, 0] * x / z.square()], dim=-1),
        torch.stack([zero, K[1, 1] / z, -K[1, 1] * y / z.square()], dim=-1),
    ]
    return torch.stack(rows, dim=-2)


def _pose_jacobian(local: Tensor) -> Tensor:
    """[..., 3, 6] derivative of camera coordinates by a shift and a turn of the camera."""
    eye = torch.eye(3).to(local).expand(*local.shape[:-1], 3, 3)
    return torch.cat([eye, -_cross(local)], dim=-1)


def _cross(vector: Tensor) -> Tensor:
    """[..., 3, 3] matrices of the cross product with [..., 3] vectors."""
    x, y, z = vector.unbind(-1)
    zero = torch.zeros_like(x)
    return torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).unflatten(-1, (3, 3))


def camera_errors(c2w: Tensor, truth: Tensor) -> tuple[Tensor, Tensor]:
    """Rotation errors [T - 1] and errors of the direction of translation [T - 1], degrees, relative to frame 0.

    Directions where the true camera has hardly moved (under 1 % of its farthest) are NaN.

    Args:
        c2w, truth: [T, 4, 4].
    """
    own, true = (compose(invert_rigid(poses[:1].double()), poses.double())[1:] for poses in (c2w, truth))
    turn = own[:, :3, :3].mT @ true[:, :3, :3]
    cosine = ((turn.diagonal(dim1=1, dim2=2).sum(1) - 1) / 2).clamp(-1, 1)
    sine = torch.stack([turn[:, 2, 1] - turn[:, 1, 2], turn[:, 0, 2] - turn[:, 2, 0], turn[:, 1, 0] - turn[:, 0, 1]], 1)
    rotation = torch.rad2deg(torch.atan2(sine.norm(dim=1) / 2, cosine))
    a, b = own[:, :3, 3], true[:, :3, 3]
    angle = torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(1))
    length = b.norm(dim=1)
    moved = length > 0.01 * length.max().clamp(min=1e-12)
    return rotation, torch.where(moved, torch.rad2deg(angle), torch.nan)
