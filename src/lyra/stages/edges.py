"""What stands at depth edges is drawn into the cache as Gaussians; splatted points fray there and leave holes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.fill import widened
from lyra.geometry.gaussian_sets import of_pixels
from lyra.geometry.reliability import edge_mask
from lyra.geometry.unprojection import unproject
from lyra.raster import RenderOptions, render, settled
from lyra.structures import Cameras, Conditioning, Gaussians, Views

ROUNDS = 2
"""Neighbours overlap; settled on the picture, their colours are as sharp as it is."""
_PHOTO = 3.0
"""How often the picture counts beside what keeps the colours of what hardly shows."""
BESIDE = 2
"""Pixels beside an edge that are drawn with it."""
DENSE, AROUND = 0.4, 5
"""Gaussians are drawn where they cover this share of a square of so many pixels; torn apart they are crumbs."""
FRAYED = 1
"""What is visible but so many pixels from a hole is drawn, too."""
_DRAWN = RenderOptions(depth=False)
_UNCHECKED = replace(_DRAWN, check_cameras=False)
"""For cameras of our own making."""


def edge_gaussians(views: Views, number: int = 0) -> Gaussians:
    """One Gaussian for each pixel of a view at its depth edges and beside them, where its mask is set.

    Their colours are settled on the whole picture, in which its other pixels stand as Gaussians, too.

    Args:
        views: source pictures with depth and cameras.
        number: which of them.
    """
    return _at_edges(
        views.frames.rgb[number], views.depth[number], views.cameras[number], views.mask[number].flatten(), _DRAWN
    )


def draw_edges(cache: Conditioning, *edges: Gaussians) -> Conditioning:
    """The cache with Gaussians drawn over its colours, in holes and in what is within ``FRAYED`` of one.

    Where a gap has opened wide, pixels of an edge, which may have any depth between two surfaces, lie scattered in it:
    only what stands close together is drawn. Depth and visibility stay: in a hole the colours are a guess.

    Args:
        cache: what was splatted.
        edges: what stands at depth edges: one set for all frames, or one for each.

    Raises:
        ValueError: another number of sets.
    """
    cameras = cache.trajectory.cameras
    if len(edges) not in (1, len(cameras)):
        raise ValueError(f"draw_edges: {len(edges)} sets of Gaussians for {len(cameras)} frames")
    frames = [slice(None)] if len(edges) == 1 else [slice(at, at + 1) for at in range(len(edges))]
    drawn = [
        _drawn_over(cache.warped[part], cache.mask[part], one, cameras[part], _DRAWN)
        for one, part in zip(edges, frames, strict=True)
    ]
    return replace(cache, warped=torch.cat(drawn))


def with_edges(views: Views, caches: Sequence[Conditioning]) -> tuple[Conditioning, ...]:
    """Caches of the first view, each with the edges of that view drawn."""
    edges = edge_gaussians(views)
    return tuple(draw_edges(cache, edges) for cache in caches)


def draw_edges_of(
    rgb: Tensor,
    depth: Tensor,
    K: Tensor,
    source_c2w: Tensor,
    warped: Tensor,
    mask: Tensor,
    c2w: Tensor,
    valid: Tensor | None = None,
) -> Tensor:
    """As `edge_gaussians` and `draw_edges`, for S pictures of which each was warped into N frames.

    Cameras are not checked.

    Args:
        rgb: [S, 3, H, W] 0…1 the pictures.
        depth: [S, H, W] their z.
        K: [S, 3, 3] intrinsics shared by a picture and its frames.
        source_c2w: [S, 4, 4] cameras of the pictures.
        warped: [S, N, 3, H, W] the cache as it was splatted, holes filled.
        mask: [S, N, H, W] bool, what of it is visible.
        c2w: [S, N, 4, 4] cameras of the frames.
        valid: [S, H, W] bool, pixels that may be drawn; ``None`` for all.

    Returns:
        [S, N, 3, H, W] ``warped`` with what stands at edges drawn over it.
    """
    height, width = rgb.shape[-2:]
    drawn = []
    for number in range(len(rgb)):
        one = slice(number, number + 1)
        used = None if valid is None else valid[number].flatten()
        source = Cameras(source_c2w[one], K[one], height, width)
        edges = _at_edges(rgb[number], depth[number], source, used, _UNCHECKED)
        cameras = Cameras(c2w[number], K[one].expand(c2w.shape[1], -1, -1), height, width)
        drawn.append(_drawn_over(warped[number], mask[number], edges, cameras, _UNCHECKED))
    return torch.stack(drawn)


@torch.no_grad()
def _at_edges(rgb: Tensor, depth: Tensor, camera: Cameras, used: Tensor | None, options: RenderOptions) -> Gaussians:
    """Settled Gaussians of a picture [3, H, W] with z [H, W] at depth edges and beside them.

    Args:
        rgb, depth, camera: the picture, 0…1, its z and its one camera.
        used: [H * W] bool, pixels that count; ``None`` for all.
        options: how it is rendered.
    """
    chosen = widened(edge_mask(depth[None]), BESIDE).flatten()
    points, z, colors = unproject(depth, camera.K[0], camera.c2w[0]).flatten(0, 1), depth.flatten(), rgb.flatten(1).T
    if used is not None:
        kept = used.nonzero()[:, 0]  # once: on a GPU each look for what is set waits
        points, z, colors, chosen = points[kept], z[kept], colors[kept], chosen[kept]
    whole = settled(of_pixels(points, z, colors, camera.K[0]), [(camera, rgb[None], _PHOTO)], ROUNDS, options)
    return whole[chosen.nonzero()[:, 0]]


@torch.no_grad()
def _drawn_over(warped: Tensor, mask: Tensor, edges: Gaussians, cameras: Cameras, options: RenderOptions) -> Tensor:
    """Frames [N, 3, H, W], visible in ``mask`` [N, H, W], with Gaussians as N cameras see them drawn over them."""
    shown = render(edges, cameras, options)
    covered = F.avg_pool2d(shown.alpha[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)
    drawn = (shown.rgb + (1 - shown.alpha)[:, None] * warped).clamp(0, 1)
    return torch.where(widened(~mask, FRAYED)[:, None] & (covered > DENSE), drawn, warped)
