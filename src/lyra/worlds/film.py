"""From worlds to training pictures: frames and depth in units of the source view's median depth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.geometry.cameras import compose, intrinsics_from_fov
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.worlds.store import TextureStore
from lyra.worlds.trace import Backend, WorldFrames, trace
from lyra.worlds.world import WorldBatch


@dataclass(frozen=True)
class Clip:
    """What V cameras saw in W worlds.

    Attributes:
        rgb: [W, V, T, 3, H, W'] float 0…1.
        depth: [W, V, T, H, W'] float, z in units of ``scale``; the sky is FAR_DEPTH.
        sky: [W, V, T, H, W'] bool.
        K: [W, 3, 3] intrinsics in pixels.
        scale: [W] metres per unit: the median finite depth of the source view.
    """

    rgb: Tensor
    depth: Tensor
    sky: Tensor
    K: Tensor
    scale: Tensor


@dataclass(frozen=True)
class SourcePictures:
    """One picture per world, from its source camera.

    Attributes:
        rgb: [W, 3, H, W'] float 0…1.
        depth: [W, H, W'] float, median 1 over what is not sky; the sky is FAR_DEPTH.
        sky: [W, H, W'] bool.
        K: [W, 3, 3] intrinsics in pixels.
        scale: [W] metres per unit.
    """

    rgb: Tensor
    depth: Tensor
    sky: Tensor
    K: Tensor
    scale: Tensor


def source_intrinsics(batch: WorldBatch, height: int, width: int) -> Tensor:
    """[W, 3, 3] intrinsics; a world's field of view spans the longer side of the picture."""
    tangent = torch.tan(batch.fov / 2) * (width / max(height, width))
    return intrinsics_from_fov(2 * torch.atan(tangent), height, width)


@torch.no_grad()
def film(
    batch: WorldBatch,
    textures: TextureStore,
    c2w_normalised: Tensor,
    height: int,
    width: int,
    times: Tensor | None = None,
    backend: Backend = "auto",
) -> Clip:
    """Film every world along its trajectories.

    Args:
        batch: W worlds.
        textures: store on the same device.
        c2w_normalised: [W, V, T, 4, 4] poses relative to the source camera, in units of its median depth.
        height, width: size in pixels.
        times: seconds, [T], [W, T] or [W, V, T]; ``None`` films everything at time 0.
        backend: see `trace`.
    """
    worlds, views, frames = c2w_normalised.shape[:3]
    K = source_intrinsics(batch, height, width)
    scale = source_scale(batch, textures, height, width, backend)
    relative = c2w_normalised.to(batch.device, torch.float32).clone()
    relative[..., :3, 3] *= scale[:, None, None, None]
    c2w = compose(batch.source_c2w[:, None, None], relative)
    index = torch.arange(worlds, device=batch.device).repeat_interleave(views * frames)
    time = None
    if times is not None:
        times = times.to(batch.device, torch.float32)
        times = times[None, None] if times.dim() == 1 else times[:, None] if times.dim() == 2 else times
        time = times.expand(worlds, views, frames).reshape(-1)
    traced = trace(batch, textures, index, c2w.reshape(-1, 4, 4), K[index], height, width, time, backend, normals=False)
    shape = (worlds, views, frames)
    return Clip(
        rgb=traced.rgb.unflatten(0, shape),
        depth=normalise_depth(traced, scale[index]).unflatten(0, shape),
        sky=traced.sky.unflatten(0, shape),
        K=K,
        scale=scale,
    )


@torch.no_grad()
def film_standing(
    batch: WorldBatch,
    textures: TextureStore,
    which: Tensor,
    times: Tensor,
    scale: Tensor,
    height: int,
    width: int,
    backend: Backend = "auto",
) -> tuple[Tensor, Tensor]:
    """Film N of the worlds over time with the source camera standing still.

    Args:
        batch: W worlds.
        textures: store on the same device.
        which: [N] int64 on the same device, which worlds.
        times: [N, T] seconds.
        scale: [N] metres per unit.
        height, width: size in pixels.
        backend: see `trace`.

    Returns:
        [N, T, 3, H, W'] 0…1, and depth [N, T, H, W'] in units of ``scale``; the sky is FAR_DEPTH.
    """
    frames = times.shape[1]
    index = which.repeat_interleave(frames)
    K = source_intrinsics(batch, height, width)
    traced = trace(
        batch, textures, index, batch.source_c2w[index], K[index], height, width, times.flatten(), backend,
        normals=False,
    )  # fmt: skip
    depth = normalise_depth(traced, scale.repeat_interleave(frames))
    return traced.rgb.unflatten(0, (-1, frames)), depth.unflatten(0, (-1, frames))


@torch.no_grad()
def film_source(
    batch: WorldBatch, textures: TextureStore, height: int, width: int, backend: Backend = "auto"
) -> SourcePictures:
    """Picture every world from its source camera at time 0."""
    index = torch.arange(len(batch), device=batch.device)
    K = source_intrinsics(batch, height, width)
    traced = trace(batch, textures, index, batch.source_c2w, K, height, width, None, backend, normals=False)
    scale = median_depth(traced.depth)
    return SourcePictures(traced.rgb, normalise_depth(traced, scale), traced.sky, K, scale)


def source_scale(batch: WorldBatch, textures: TextureStore, height: int, width: int, backend: Backend) -> Tensor:
    """[W] median finite depth of the source views, in metres."""
    index = torch.arange(len(batch), device=batch.device)
    K = source_intrinsics(batch, height, width)
    traced = trace(
        batch, textures, index, batch.source_c2w, K, height, width, None, backend, smooth_edges=False, normals=False
    )
    return median_depth(traced.depth)


def median_depth(depth: Tensor) -> Tensor:
    """[F] median of the finite values of [F, H, W]; 1 where there are none."""
    flat = torch.where(torch.isinf(depth), torch.nan, depth).flatten(1)
    return torch.nan_to_num(flat.nanmedian(1).values, nan=1.0)


def normalise_depth(traced: WorldFrames, scale: Tensor) -> Tensor:
    """Depth in units of ``scale`` [F], the sky and everything beyond at FAR_DEPTH."""
    return (traced.depth / scale[:, None, None]).clamp(NEAR_DEPTH, FAR_DEPTH)
