"""The fast rasteriser of the default machine: Numba kernels behind one differentiable function.

Stages of one view: project all Gaussians, sort the visible ones by depth and list them per tile, blend each tile front
to back. The backward pass blends front to back once more, reduces each (Gaussian, tile) pair to a handful of moments,
and chains their sums through the projection. Results are the same bits for any number of threads, and safe to ask for
from several Python threads and in forked children (see ``workers``).
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyra.raster.kernels import composite_ewa, composite_ray
from lyra.raster.kernels.binning import bin_by_tile
from lyra.raster.kernels.layout import CHANNELS, MOMENTS_EWA, MOMENTS_RAY, ROW_EWA, ROW_RAY, TILE
from lyra.raster.kernels.projection import project, project_backward
from lyra.raster.options import RenderOptions
from lyra.raster.workers import run_ranges, worker_count


@dataclass(frozen=True)
class _View:
    """One camera, and the tables of what it sees."""

    w2c: np.ndarray
    intrinsics: tuple[float, float, float, float]
    rows: np.ndarray
    tiles: np.ndarray
    depth: np.ndarray
    offsets: np.ndarray
    entries: np.ndarray
    first: np.ndarray


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
    """[V, 5, H, W] float32: premultiplied RGB, accumulated z, alpha. Differentiable in the first five arguments."""
    workers = worker_count()  # first of all: in a forked child torch's own operations must not go parallel
    tensors = [t.to("cpu", torch.float32).contiguous() for t in (means, quats, scales, opacities, colors)]
    cameras = [t.detach().to("cpu", torch.float64).numpy() for t in (w2c, K)]
    return _Rasterize.apply(*tensors, *cameras, height, width, options, workers)


class _Rasterize(torch.autograd.Function):
    """Bridge between autograd and the kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        means: Tensor,
        quats: Tensor,
        scales: Tensor,
        opacities: Tensor,
        colors: Tensor,
        w2c: np.ndarray,
        K: np.ndarray,
        height: int,
        width: int,
        options: RenderOptions,
        workers: int,
    ) -> Tensor:
        keep = any(ctx.needs_input_grad)
        gaussians = tuple(t.detach().numpy() for t in (means, quats, scales, opacities, colors))
        picture = torch.empty(len(w2c), CHANNELS, height, width)
        planes = picture.numpy()
        views: list[_View | None] = [None] * len(w2c)
        # Sorting is serial within a view: with many views, threads take whole views instead of parts of one.
        by_view = len(w2c) >= 2 * workers
        inner = 1 if by_view else workers

        def draw(start: int, end: int) -> None:
            for view in range(start, end):
                seen = _look(gaussians, np.ascontiguousarray(w2c[view]), K[view], height, width, options, inner)
                _blend(seen, planes[view], options, inner)
                views[view] = seen if keep else None

        run_ranges(draw, len(w2c), workers if by_view else 1, parts_per_worker=len(w2c))
        if keep:
            ctx.save_for_backward(means, quats, scales, opacities, picture)
            ctx.views, ctx.options = views, options
        return picture

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        means, quats, scales, opacities, picture = (t.detach().numpy() for t in ctx.saved_tensors)
        gaussians = means, quats, scales, opacities
        n = len(means)
        slopes = tuple(np.zeros((n, *shape), np.float32) for shape in ((3,), (4,), (3,), (), (3,)))
        workers = worker_count()
        planes = gradient.contiguous().numpy()
        for view, seen in enumerate(ctx.views):
            _unblend(seen, gaussians, picture[view], planes[view], slopes, ctx.options, workers)
        return (*(torch.from_numpy(slope) for slope in slopes), None, None, None, None, None, None)


def _look(
    gaussians: tuple[np.ndarray, ...],
    w2c: np.ndarray,
    K: np.ndarray,
    height: int,
    width: int,
    options: RenderOptions,
    workers: int,
) -> _View:
    """Project and list per tile."""
    n = len(gaussians[0])
    ray = options.response == "ray"
    rows = np.empty((n, ROW_RAY if ray else ROW_EWA), np.float32)
    tiles = np.empty((n, 4), np.int16)
    depth = np.empty(n, np.float32)
    intrinsics = (float(K[0, 0]), float(K[1, 1]), float(K[0, 2]), float(K[1, 2]))
    limits = (float(options.near), float(options.far), float(options.eps2d), options.antialiased, ray)
    tables = (rows, tiles, depth)
    run_ranges(
        lambda start, end: project(start, end, *gaussians, w2c, intrinsics, (height, width), *limits, *tables),
        n,
        workers,
    )
    offsets, entries, first = bin_by_tile(depth.view(np.uint32), tiles, -(-width // TILE), -(-height // TILE))
    return _View(w2c, intrinsics, rows, tiles, depth, offsets, entries, first)


def _blend(seen: _View, picture: np.ndarray, options: RenderOptions, workers: int) -> None:
    """Blend all tiles of one view into ``picture`` [5, H, W]."""
    composite = composite_ray.composite if options.response == "ray" else composite_ewa.composite
    tiles_x = -(-picture.shape[2] // TILE)
    run_ranges(
        lambda start, end: composite(start, end, tiles_x, seen.offsets, seen.entries, seen.rows, picture),
        len(seen.offsets) - 1,
        workers,
        parts_per_worker=8,
    )


def _unblend(
    seen: _View,
    gaussians: tuple[np.ndarray, ...],
    picture: np.ndarray,
    gradient: np.ndarray,
    slopes: tuple[np.ndarray, ...],
    options: RenderOptions,
    workers: int,
) -> None:
    """Add to ``slopes`` what one view's picture gradient says about the five Gaussian arrays."""
    ray = options.response == "ray"
    composite_backward = composite_ray.composite_backward if ray else composite_ewa.composite_backward
    moments = np.empty((len(seen.entries), MOMENTS_RAY if ray else MOMENTS_EWA), np.float32)
    tiles_x = -(-picture.shape[2] // TILE)
    lists = (seen.offsets, seen.entries, seen.rows, seen.tiles, seen.first)
    run_ranges(
        lambda start, end: composite_backward(start, end, tiles_x, *lists, picture, gradient, moments),
        len(seen.offsets) - 1,
        workers,
        parts_per_worker=8,
    )
    camera = (seen.w2c, seen.intrinsics, picture.shape[1:], float(options.eps2d), options.antialiased, ray)
    move_z = not ray or options.ray_depth_gradient
    tables = (seen.rows, seen.tiles, seen.depth, seen.first, moments)
    run_ranges(
        lambda start, end: project_backward(start, end, *gaussians, *camera, move_z, *tables, *slopes),
        len(gaussians[0]),
        workers,
    )
