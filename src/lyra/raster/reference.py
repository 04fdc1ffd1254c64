"""The oracle: the same pictures in plain torch, dense over (pixels x Gaussians), any dtype, gradients by autograd.

Written from the formulas, not from the kernels: covariances by matrix products, the ray response by whitening every
viewing ray, blending by a cumulative product. Slow and memory-hungry by design: it serves a few thousand Gaussians on a
small picture.
"""

import torch
from torch import Tensor

from lyra.raster.options import ALPHA_CLAMP, ALPHA_CUT, JACOBIAN_MARGIN, STOP_TRANSMITTANCE, RenderOptions


def rasterize_accumulated(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    options: RenderOptions,
) -> Tensor:
    """[V, 5, H, W] in the dtype of ``means``: premultiplied RGB, accumulated z, alpha."""
    w2c, K = w2c.to(means), K.to(means)
    views = [
        _one_view(means, quats, scales, opacities, colors, pose, intrinsics, height, width, options)
        for pose, intrinsics in zip(w2c, K, strict=True)
    ]
    return torch.stack(views) if views else means.new_zeros(0, 5, height, width)


def _one_view(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    options: RenderOptions,
) -> Tensor:
    z = (means @ w2c[2, :3] + w2c[2, 3]).detach()
    # float32 keys: near-equal depths must tie exactly as in the float32 backends.
    keys, order = torch.sort(z.float(), stable=True)
    order = order[(keys > options.near) & (keys < options.far)]
    means, quats, scales, opacities, colors = (t[order] for t in (means, quats, scales, opacities, colors))

    points = means @ w2c[:3, :3].mT + w2c[:3, 3]
    rotations = w2c[:3, :3] @ rotation_matrices(quats)
    factors = rotations * scales[:, None, :]
    covariances = factors @ factors.mT
    flat = _flatten(points, covariances, K, height, width)
    blurred = flat + options.eps2d * torch.eye(2, dtype=flat.dtype, device=flat.device)
    valid = torch.linalg.det(blurred.detach()) > 0
    blurred = torch.where(valid[:, None, None], blurred, torch.eye(2, dtype=flat.dtype, device=flat.device))
    compensation = (_det(flat) / _det(blurred)).clamp_min(0).sqrt()
    if options.antialiased:
        opacities = opacities * compensation
        valid = valid & (opacities >= ALPHA_CUT)
    elif options.response == "ray":
        valid = valid & (opacities * compensation >= ALPHA_CUT)

    rows = torch.arange(height, dtype=means.dtype, device=means.device) + 0.5
    columns = torch.arange(width, dtype=means.dtype, device=means.device) + 0.5
    pixels = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), dim=-1).reshape(-1, 2)
    if options.response == "ray":
        exponent = 0.5 * _squared_distance(points, rotations, scales, pixels, K)
        depth = points[:, 2] if options.ray_depth_gradient else points[:, 2].detach()
    else:
        centres = points[:, :2] / points[:, 2:] * K[(0, 1), (0, 1)] + K[:2, 2]
        offset = pixels[:, None] - centres
        exponent = 0.5 * torch.einsum("pni,nij,pnj->pn", offset, torch.linalg.inv(blurred), offset)
        depth = points[:, 2]

    alpha = (opacities * torch.exp(-exponent)).clamp_max(ALPHA_CLAMP)
    alpha = torch.where((alpha >= ALPHA_CUT) & (exponent >= 0) & valid, alpha, 0.0)
    after = torch.cumprod(1 - alpha, dim=1)
    # The product only falls, so "stop before the Gaussian that would reach the limit" is a mask.
    alpha = torch.where(after > STOP_TRANSMITTANCE, alpha, 0.0)
    after = torch.cumprod(1 - alpha, dim=1)
    before = torch.cat([torch.ones_like(after[:, :1]), after[:, :-1]], dim=1)
    weights = alpha * before
    values = weights @ torch.cat([colors, depth[:, None]], dim=1)
    return torch.cat([values, weights.sum(1, keepdim=True)], dim=1).T.reshape(5, height, width)


def rotation_matrices(quats: Tensor) -> Tensor:
    """[N, 3, 3] rotations of quaternions w, x, y, z of any non-zero length."""
    w, x, y, z = torch.nn.functional.normalize(quats, dim=-1).unbind(-1)
    zero = torch.zeros_like(w)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=-1).reshape(-1, 3, 3)
    identity = torch.eye(3, dtype=quats.dtype, device=quats.device)
    return identity + 2 * w[:, None, None] * cross + 2 * cross @ cross


def _det(matrix: Tensor) -> Tensor:
    return matrix[:, 0, 0] * matrix[:, 1, 1] - matrix[:, 0, 1] * matrix[:, 1, 0]


def _flatten(points: Tensor, covariances: Tensor, K: Tensor, height: int, width: int) -> Tensor:
    """[N, 2, 2] image covariance through the Jacobian of the projection, held inside the widened image."""
    z = points[:, 2]
    rows = []
    for axis, size in ((0, width), (1, height)):
        focal, centre = K[axis, axis], K[axis, 2]
        margin = JACOBIAN_MARGIN * size / focal
        slope = (points[:, axis] / z).clamp(-centre / focal - margin, (size - centre) / focal + margin)
        row = [torch.zeros_like(z), torch.zeros_like(z), -focal * slope / z]
        row[axis] = focal / z
        rows.append(torch.stack(row, dim=-1))
    jacobian = torch.stack(rows, dim=1)
    return jacobian @ covariances @ jacobian.mT


def _squared_distance(points: Tensor, rotations: Tensor, scales: Tensor, pixels: Tensor, K: Tensor) -> Tensor:
    """[P, N] squared distance of each viewing ray from each centre, in the Gaussian's whitened frame."""
    rays = torch.cat([(pixels - K[:2, 2]) / K[(0, 1), (0, 1)], torch.ones_like(pixels[:, :1])], dim=1)
    whiten = rotations.mT / scales[:, :, None]
    origin = -(whiten @ points[:, :, None])[:, :, 0]
    directions = torch.nn.functional.normalize(torch.einsum("nij,pj->pni", whiten, rays), dim=-1)
    return torch.linalg.cross(directions, origin.expand_as(directions)).square().sum(-1)
