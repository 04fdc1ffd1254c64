"""Removing background that shines through the gaps of a splatted foreground (GEN3C foreground masking)."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import transform_points

_GRID_DIVISOR = 4
_DEPTH_MARGIN = 0.02
_EPSILON = 1e-8
_NEAR = 1e-6
_CHUNK = 1 << 21


def mask_occluded_by_edges(
    points: Tensor,
    boundary: Tensor,
    w2c: Tensor,
    K: Tensor,
    values: Tensor,
    depth: Tensor,
    mask: Tensor,
    pixel_centre: float = 0.5,
    hole_value: float = 0.0,
) -> tuple[Tensor, Tensor, Tensor]:
    """Turn pixels into holes that lie behind the surface stretched over the source's depth edges.

    The source points, seen from the target camera, are resized bilinearly to a quarter of height and width, the
    boundary mask by nearest neighbour; every grid cell with a boundary corner becomes the triangles (top left, top
    right, bottom left) and (top right, bottom right, bottom left). Each pixel sends one unit ray; where the nearest
    two-sided hit, at depth z = t · ray_z, has z + 0.02 < splatted depth, the pixel becomes a hole.

    Args:
        points: [B or 1, H, W, 3] world points of the source, in its pixel order.
        boundary: [B or 1, H, W] bool, the complement of `reliable_mask`.
        w2c: [B, 4, 4] target cameras.
        K: [B, 3, 3] intrinsics in pixels, without skew.
        values: [B, C, h, w] splatted values.
        depth: [B, h, w] splatted depth, 0 in holes.
        mask: [B, h, w] bool, where something was splatted.
        pixel_centre: where rays start in their cell; 0.0 is the integer-pixel form of the GEN3C cache.
        hole_value: written into ``values`` at new holes; -1 for colours in -1…1.

    Returns:
        values, depth (0 in holes) and mask, as `splat_points` gives them.
    """
    height, width = depth.shape[-2:]
    hits = torch.stack(
        [
            edge_surface_depth(
                transform_points(points[b if len(points) > 1 else 0], w2c[b, None]),
                boundary[b if len(boundary) > 1 else 0],
                K[b],
                height,
                width,
                pixel_centre,
            )
            for b in range(len(w2c))
        ]
    )
    covered = mask & (hits + _DEPTH_MARGIN < depth)
    return (
        torch.where(covered[:, None], hole_value, values),
        torch.where(covered, 0.0, depth),
        mask & ~covered,
    )


def edge_surface_depth(
    camera_points: Tensor, boundary: Tensor, K: Tensor, height: int, width: int, pixel_centre: float
) -> Tensor:
    """Depth of the surface over depth edges.

    Args:
        camera_points: [H, W, 3] source points in target camera axes.
        boundary: [H, W] bool.
        K: [3, 3] intrinsics of the target.
        height, width: size of the target.
        pixel_centre: see `mask_occluded_by_edges`.

    Returns:
        [height, width] z of the nearest hit, infinity where there is none.
    """
    triangles = edge_triangles(camera_points, boundary)
    surface = torch.full((height * width,), torch.inf, dtype=camera_points.dtype, device=camera_points.device)
    low, high = _pixel_bounds(triangles, K, height, width, pixel_centre)
    size = (high - low + 1).clamp(min=0)
    area = size[:, 0] * size[:, 1]
    seen = area > 0
    triangles, low, size, area = triangles[seen], low[seen], size[seen], area[seen]
    ends = area.cumsum(0)
    total = int(ends[-1]) if len(ends) else 0
    for start in range(0, total, _CHUNK):
        place = torch.arange(start, min(start + _CHUNK, total), device=surface.device)
        owner = torch.searchsorted(ends, place, right=True)
        within = place - (ends[owner] - area[owner])
        column = low[owner, 0] + within % size[owner, 0]
        row = low[owner, 1] + within // size[owner, 0]
        x = (column.to(K.dtype) + pixel_centre - K[0, 2]) / K[0, 0]
        y = (row.to(K.dtype) + pixel_centre - K[1, 2]) / K[1, 1]
        rays = F.normalize(torch.stack([x, y, torch.ones_like(x)], dim=-1), dim=-1)
        z = ray_hits(rays, triangles[owner]) * rays[:, 2]
        surface.scatter_reduce_(0, row * width + column, z, "amin")
    return surface.view(height, width)


def edge_triangles(camera_points: Tensor, boundary: Tensor) -> Tensor:
    """[M, 3, 3] triangles (corner, axis) over the grid cells with a boundary corner; arguments as above."""
    grid_size = (camera_points.shape[0] // _GRID_DIVISOR, camera_points.shape[1] // _GRID_DIVISOR)
    maps = camera_points.permute(2, 0, 1)[None]
    grid = F.interpolate(maps, size=grid_size, mode="bilinear", align_corners=False)[0].permute(1, 2, 0)
    edge = F.interpolate(boundary[None, None].float(), size=grid_size, mode="nearest")[0, 0] > 0.5
    cell = edge[:-1, :-1] | edge[:-1, 1:] | edge[1:, :-1] | edge[1:, 1:]
    top_left, top_right = grid[:-1, :-1][cell], grid[:-1, 1:][cell]
    bottom_left, bottom_right = grid[1:, :-1][cell], grid[1:, 1:][cell]
    upper = torch.stack([top_left, top_right, bottom_left], dim=1)
    lower = torch.stack([top_right, bottom_right, bottom_left], dim=1)
    return torch.cat([upper, lower])


def ray_hits(rays: Tensor, triangles: Tensor) -> Tensor:
    """Distance along rays from the origin to triangles, pair by pair, after Möller and Trumbore (1997), two-sided.

    Args:
        rays: [M, 3] directions.
        triangles: [M, 3, 3] corners.

    Returns:
        [M] distance, infinity where the ray misses, runs parallel, or hits behind its start.
    """
    corner = triangles[:, 0]
    first, second = triangles[:, 1] - corner, triangles[:, 2] - corner
    p = torch.linalg.cross(rays, second)
    determinant = (first * p).sum(1)
    usable = determinant.abs() > _EPSILON
    inverse = 1 / torch.where(usable, determinant, 1.0)
    u = -(corner * p).sum(1) * inverse
    q = torch.linalg.cross(-corner, first)
    v = (rays * q).sum(1) * inverse
    distance = (second * q).sum(1) * inverse
    hit = usable & (u >= 0) & (v >= 0) & (u + v <= 1) & (distance > _EPSILON)
    return torch.where(hit, distance, torch.inf)


def _pixel_bounds(triangles: Tensor, K: Tensor, height: int, width: int, pixel_centre: float) -> tuple[Tensor, Tensor]:
    """First and last pixel (column, row) [M, 2] whose ray may hit each triangle; last < first where none can.

    The part of a triangle behind the camera is cut off first: the outline of the rest runs through the corners in
    front and the points where edges cross the near plane.
    """
    z = triangles[..., 2]
    following = triangles.roll(-1, dims=1)
    crosses = (z > _NEAR) != (following[..., 2] > _NEAR)
    rise = torch.where(crosses, following[..., 2] - z, 1.0)
    crossing = triangles + (following - triangles) * ((_NEAR - z) / rise)[..., None]
    outline = torch.cat([triangles, crossing], dim=1)
    used = torch.cat([z > _NEAR, crosses], dim=1)[..., None]
    scale = torch.stack([K[0, 0], K[1, 1]])
    shift = torch.stack([K[0, 2], K[1, 2]]) - pixel_centre
    pixels = outline[..., :2] / outline[..., 2:].clamp(min=_NEAR) * scale + shift
    last = torch.tensor([width - 1, height - 1], dtype=pixels.dtype, device=pixels.device)
    smallest = torch.where(used, pixels, torch.inf).amin(dim=1)
    largest = torch.where(used, pixels, -torch.inf).amax(dim=1)
    # one hundredth of a pixel of slack for rounding; the exact test follows
    low = torch.maximum((smallest - 0.01).ceil(), torch.zeros_like(last))
    high = torch.minimum((largest + 0.01).floor(), last)
    empty = (low > high).any(dim=1, keepdim=True)
    return torch.where(empty, 0, low).long(), torch.where(empty, -1, high).long()
