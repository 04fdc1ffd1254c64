import math

import pytest
import torch

from lyra.geometry import (
    intrinsics_from_fov,
    invert_rigid,
    mask_occluded_by_edges,
    reliable_mask,
    splat_points,
    trajectory_c2w,
    transform_points,
    unproject,
)
from lyra.geometry.foreground import edge_surface_depth, edge_triangles

H, W = 24, 32


def step_scene(camera: str = "right", strength: float = 0.6, centre_depth: float = 1.0):
    """A near square before a far wall, splatted from the side so that the wall shines through stretched gaps."""
    depth = torch.full((1, H, W), 3.0)
    depth[:, 6:18, 8:20] = 1.0
    K = intrinsics_from_fov(1.0, H, W)[None]
    points = unproject(depth, K, torch.eye(4)[None])
    w2c = invert_rigid(trajectory_c2w(camera, 3, strength, centre_depth))
    boundary = ~reliable_mask(depth)
    # with a shifted principal point no ray runs exactly through a corner of the mesh
    K = K + torch.tensor([[0.0, 0.0, 0.1371], [0.0, 0.0, 0.0913], [0.0, 0.0, 0.0]])
    return depth, points, boundary, w2c, K.expand(3, 3, 3)


def oracle_depth(points, boundary, K, centre):
    """Möller–Trumbore for every ray and every triangle of a mesh built cell by cell."""
    rows, columns = H // 4, W // 4
    grid = torch.zeros(rows, columns, 3, dtype=torch.float64)
    edge = torch.zeros(rows, columns, dtype=torch.bool)
    for r in range(rows):
        for c in range(columns):
            # a quarter-size bilinear resize without antialiasing averages the two middle rows and columns
            grid[r, c] = points[4 * r + 1 : 4 * r + 3, 4 * c + 1 : 4 * c + 3].double().mean(dim=(0, 1))
            edge[r, c] = boundary[4 * r, 4 * c]
    triangles = []
    for r in range(rows - 1):
        for c in range(columns - 1):
            tl, tr, bl, br = grid[r, c], grid[r, c + 1], grid[r + 1, c], grid[r + 1, c + 1]
            if edge[r : r + 2, c : c + 2].any():
                triangles += [(tl, tr, bl), (tr, br, bl)]
    nearest = torch.full((H, W), math.inf, dtype=torch.float64)
    y, x = torch.meshgrid(torch.arange(H), torch.arange(W), indexing="ij")
    rays = torch.stack([x + centre, y + centre, torch.ones_like(x)], dim=-1).double()
    rays = rays @ torch.linalg.inv(K.double()).T
    rays = rays / rays.norm(dim=-1, keepdim=True)
    for a, b, c in triangles:
        h = torch.linalg.cross(rays, (c - a).expand_as(rays))
        det = (h * (b - a)).sum(-1)
        inverse = 1 / torch.where(det.abs() > 1e-8, det, math.inf)
        u = (h * -a).sum(-1) * inverse
        q = torch.linalg.cross(-a, b - a)
        v = (rays * q).sum(-1) * inverse
        t = ((c - a) * q).sum(-1) * inverse
        hit = (det.abs() > 1e-8) & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-8)
        nearest = torch.where(hit & (t * rays[..., 2] < nearest), t * rays[..., 2], nearest)
    return nearest


@pytest.mark.parametrize("centre", [0.0, 0.5])
@pytest.mark.parametrize(
    ("camera", "strength", "centre_depth"),
    [("right", 0.6, 1.0), ("up", 0.5, 1.0), ("zoom_in", 0.73, 3.0), ("zoom_out", 0.5, 1.0)],
)
def test_surface_depth_matches_the_plain_oracle(camera, strength, centre_depth, centre):
    _, points, boundary, w2c, K = step_scene(camera, strength, centre_depth)
    for frame in range(3):
        moved = transform_points(points[0].double(), w2c[frame, None].double())
        surface = edge_surface_depth(moved, boundary[0], K[frame].double(), H, W, centre)
        expected = oracle_depth(moved, boundary[0], K[frame], centre)
        if frame == 2 and camera == "zoom_in":
            assert (moved[..., 2] < 0).any()  # the case of triangles that reach behind the camera
        assert torch.equal(torch.isfinite(surface), torch.isfinite(expected))
        finite = torch.isfinite(expected)
        assert 0.05 < finite.float().mean() <= 1
        assert torch.allclose(surface[finite], expected[finite], atol=1e-9)


def test_background_behind_the_stretched_edge_becomes_a_hole():
    depth, points, boundary, w2c, K = step_scene()
    values = torch.rand(1, 3, H * W, generator=torch.Generator().manual_seed(0))
    splatted = splat_points(points.flatten(1, 2), values, torch.ones(1, H * W), w2c, K, H, W)
    colour, z, mask = mask_occluded_by_edges(points, boundary, w2c, K, *splatted, hole_value=-1.0)
    taken = splatted[2] & ~mask
    assert taken[2].sum() > 5
    assert (splatted[1][taken] > 1.5).all()  # only the wall is taken away, never the square
    assert (colour.movedim(1, -1)[taken] == -1).all()
    assert z[taken].abs().max() == 0
    kept = mask[:, None].expand_as(colour)
    assert torch.equal(colour[kept], splatted[0][kept])
    assert torch.equal(z[mask], splatted[1][mask])
    for frame in range(3):
        surface = oracle_depth(transform_points(points[0], w2c[frame, None]), boundary[0], K[frame], 0.5)
        expected = splatted[2][frame] & (surface + 0.02 < splatted[1][frame])
        assert (expected != taken[frame]).sum() <= 1  # float32 against float64 on the rim of a triangle


def test_a_flat_wall_has_no_triangles_and_nothing_is_taken():
    depth = torch.full((1, H, W), 2.0)
    K = intrinsics_from_fov(1.0, H, W)[None]
    points = unproject(depth, K, torch.eye(4)[None])
    boundary = torch.zeros(1, H, W, dtype=torch.bool)
    assert len(edge_triangles(points[0], boundary[0])) == 0
    splatted = splat_points(
        points.flatten(1, 2), torch.ones(1, 1, H * W), torch.ones(1, H * W), torch.eye(4)[None], K, H, W
    )
    masked = mask_occluded_by_edges(points, boundary, torch.eye(4)[None], K, *splatted)
    assert torch.equal(masked[2], splatted[2])
