"""What stands at depth edges is drawn into the cache as Gaussians; splatted points fray there and leave holes."""

from dataclasses import replace

import torch
from torch.nn import functional as F

from lyra.geometry.fill import widened
from lyra.geometry.gaussian_sets import of_pixels
from lyra.geometry.reliability import edge_mask
from lyra.geometry.unprojection import unproject
from lyra.raster import RenderOptions, render, settled
from lyra.structures import Conditioning, Gaussians, Views

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


@torch.no_grad()
def edge_gaussians(views: Views, number: int = 0) -> Gaussians:
    """One Gaussian for each pixel of a view at its depth edges and beside them, where its mask is set.

    Their colours are settled on the whole picture, in which its other pixels stand as Gaussians, too.

    Args:
        views: source pictures with depth and cameras.
        number: which of them.
    """
    one = slice(number, number + 1)
    camera, depth, rgb, mask = views.cameras[number], views.depth[one], views.frames.rgb[one], views.mask[one]
    used = mask.flatten()
    at_edges = widened(edge_mask(depth), BESIDE).flatten()
    points = unproject(depth, camera.K, camera.c2w).reshape(-1, 3)
    whole = of_pixels(points[used], depth.flatten()[used], rgb[0].flatten(1).T[used], camera.K[0])
    for _ in range(ROUNDS):
        whole = settled(whole, [(camera, rgb, _PHOTO)])
    return whole[at_edges[used]]


@torch.no_grad()
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
    whole = [(edges[0], cameras)] if len(edges) == 1 else [(one, cameras[at]) for at, one in enumerate(edges)]
    shown = [render(one, seen, RenderOptions(depth=False)) for one, seen in whole]
    rgb, alpha = (torch.cat([getattr(one, kind) for one in shown]) for kind in ("rgb", "alpha"))
    covered = F.avg_pool2d(alpha[:, None], AROUND, 1, AROUND // 2, count_include_pad=False)
    drawn = (rgb + (1 - alpha)[:, None] * cache.warped).clamp(0, 1)
    chosen = widened(~cache.mask, FRAYED)[:, None] & (covered > DENSE)
    return replace(cache, warped=torch.where(chosen, drawn, cache.warped))
