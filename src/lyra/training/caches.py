"""Caches as the networks meet them on the finished road: splatted, holes filled, what stands at depth edges drawn."""

import torch
from torch import Tensor

from lyra.stages.edges import draw_edges_of
from lyra.stages.warp import warp_clips, warp_moving_clips


@torch.no_grad()
def still_caches(
    source: Tensor, depth: Tensor, K: Tensor, c2w: Tensor, valid: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """The caches of S pictures along V paths each, as `lyra.pipeline.warp_along` gives them.

    Args:
        source: [S, 3, H, W] 0…1.
        depth: [S, H, W] their z.
        K: [S, 3, 3] intrinsics.
        c2w: [S, V, T, 4, 4] paths in the source camera's frame, from the identity on.
        valid: [S, H, W] bool, source pixels that may be shown; ``None`` for all.

    Returns:
        rgb [S * V, T, 3, H, W], z [S * V, T, H, W] (0 in holes), visibility [S * V, T, H, W] bool.
    """
    count, views, frames = c2w.shape[:3]
    each = _each(count, views, c2w)
    rgb, z, mask = warp_clips(
        source[each], depth[each], K[each], c2w.flatten(0, 1), None if valid is None else valid[each]
    )
    upright = torch.eye(4, device=c2w.device, dtype=c2w.dtype).expand(count, 4, 4)
    shape = (count, views * frames)
    warped, seen = (part.reshape(*shape, *part.shape[2:]) for part in (rgb, mask))
    drawn = draw_edges_of(source, depth, K, upright, warped, seen, c2w.flatten(1, 2), valid)
    return drawn.reshape(rgb.shape), z, mask


@torch.no_grad()
def moving_caches(source: Tensor, depth: Tensor, K: Tensor, c2w: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """The 4D caches of S clips from a camera that stands still, along V paths each, as a moving scene's road has them.

    Frame i shows picture i, and is drawn over with what stands at the edges of picture i.

    Args:
        source: [S, T, 3, H, W] 0…1.
        depth: [S, T, H, W] their z.
        K: [S, 3, 3] intrinsics.
        c2w: [S, V, T, 4, 4] paths in the source camera's frame.

    Returns:
        rgb [S * V, T, 3, H, W], z [S * V, T, H, W] (0 in holes), visibility [S * V, T, H, W] bool.
    """
    count, views, frames = c2w.shape[:3]
    each = _each(count, views, c2w)
    standing = torch.eye(4, device=c2w.device, dtype=c2w.dtype)
    rgb, z, mask = warp_moving_clips(
        source[each], depth[each], K[each], standing.expand(count * views, frames, 4, 4), c2w.flatten(0, 1)
    )
    # the V frames that show one picture stand side by side
    warped, seen, cameras = (
        part.reshape(count, views, *part.shape[-rest:]).transpose(1, 2).flatten(0, 1)
        for part, rest in ((rgb, 4), (mask, 3), (c2w, 3))
    )
    drawn = draw_edges_of(
        source.flatten(0, 1),
        depth.flatten(0, 1),
        K.repeat_interleave(frames, 0),
        standing.expand(count * frames, 4, 4),
        warped,
        seen,
        cameras,
    )
    return drawn.unflatten(0, (count, frames)).transpose(1, 2).flatten(0, 1), z, mask


def _each(count: int, views: int, like: Tensor) -> Tensor:
    """[count * views] the source of each clip."""
    return torch.arange(count, device=like.device).repeat_interleave(views)
