"""Depth, normals, shadows and textures of single primitives against formulas."""

import math
import random

import numpy as np
import pytest
import torch

from lyra.worlds import World, collate, trace
from lyra.worlds.description import Description
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.world import BOX, CENTRE, CUTOUT, CYLINDER, ELLIPSOID, HALF, KEY_RGB, LEAVES, QUAD, ROWS

HEIGHT, WIDTH = 24, 40
K = torch.tensor([[[30.0, 0.0, 20.0], [0.0, 30.0, 12.0], [0.0, 0.0, 1.0]]])
PLAIN = Material(tile=0, metres=1.0)


@pytest.fixture
def build(textures) -> Builder:
    return Builder(random.Random(0), textures.catalogue)


@pytest.fixture
def shoot(build, light, store):
    """Trace what has been built from the origin looking along +z, or from another pose."""

    def run(c2w: torch.Tensor | None = None, time: float | None = None, **options):
        table = build.table()
        world = World(
            0, "train", Description(), table.rows, table.counts, light, np.eye(4, dtype=np.float32), 1.0, False
        )
        pose = torch.eye(4)[None] if c2w is None else c2w[None]
        seconds = None if time is None else torch.tensor([time])
        batch = collate([world], "cpu")
        return trace(batch, store, torch.zeros(1, dtype=torch.long), pose, K, HEIGHT, WIDTH, seconds, **options)

    return run


def pixel_rays() -> tuple[torch.Tensor, torch.Tensor]:
    x = (torch.arange(WIDTH) + 0.5 - 20) / 30
    y = (torch.arange(HEIGHT) + 0.5 - 12) / 30
    return x[None].expand(HEIGHT, WIDTH), y[:, None].expand(HEIGHT, WIDTH)


def test_wall_depth_is_its_distance(build, shoot):
    build.upright((0, 0, 5.0), 50, 50, math.pi, PLAIN)
    frames = shoot()
    assert torch.allclose(frames.depth, torch.full((1, HEIGHT, WIDTH), 5.0), rtol=1e-6)
    assert not frames.sky.any()
    assert torch.allclose(frames.normal[0, :, 3, 4], torch.tensor([0.0, 0.0, -1.0]), atol=1e-6)


def test_floor_depth_and_horizon(build, shoot):
    build.floor(0, 0, 1e5, 1e5, PLAIN, height=-1.5)
    frames = shoot()
    _, y = pixel_rays()
    below = y > 0
    assert torch.allclose(frames.depth[0][below], (1.5 / y)[below], rtol=1e-5)
    assert frames.sky[0][~below].all() and torch.isinf(frames.depth[0][~below]).all()


def test_sphere_depth(build, shoot):
    build.ball((0.3, -0.2, 6.0), (1.5, 1.5, 1.5), PLAIN)
    frames = shoot()
    x, y = pixel_rays()
    rays = torch.stack([x, y, torch.ones_like(x)]).double()
    centre = torch.tensor([0.3, 0.2, 6.0], dtype=torch.float64)
    a, b = (rays**2).sum(0), (rays * centre[:, None, None]).sum(0)
    root = b * b - a * (centre @ centre - 1.5**2)
    expected = (b - root.clamp_min(0).sqrt()) / a
    clear = root.abs() > 1e-3
    assert torch.equal((root > 0)[clear], ~frames.sky[0][clear])
    hit = clear & (root > 0)
    assert hit.sum() > 50
    assert torch.allclose(frames.depth[0][hit].double(), expected[hit], rtol=1e-4)


@pytest.mark.parametrize("shape", [QUAD, BOX, CYLINDER, ELLIPSOID, LEAVES])
def test_unprojected_depth_lies_on_the_surface(build, shoot, shape):
    match shape:
        case _ if shape == QUAD:
            build.upright((0.2, 0.1, 4.0), 1.2, 0.9, math.pi + 0.5, PLAIN, lean=0.3)
        case _ if shape == BOX:
            build.box((0.2, 0.1, 4.0), (1.0, 0.6, 0.8), PLAIN, yaw=0.6)
        case _ if shape == CYLINDER:
            build.cylinder((0.2, 0.1, 4.0), 0.8, 0.9, PLAIN, taper=0.5, radius_z=1.0, yaw=0.4)
        case _ if shape == ELLIPSOID:
            build.ball((0.2, 0.1, 4.0), (1.0, 0.6, 0.8), PLAIN, yaw=0.6)
        case _:
            build.leaves((0.2, 0.1, 4.0), (1.0, 0.8, 0.8), PLAIN, build.mask("leaves"), 1.0)
    frames = shoot()
    seen = ~frames.sky[0]
    assert 30 < seen.sum() < HEIGHT * WIDTH
    x, y = pixel_rays()
    points = torch.stack([x, y, torch.ones_like(x)])[:, seen] * frames.depth[0][seen]
    row = torch.from_numpy(build.table().rows[0])
    local = row[ROWS].view(3, 3) @ (points - row[CENTRE, None]) / row[HALF, None]
    if shape == QUAD:
        residual = local[2]
        assert (local[:2].abs() <= 1 + 1e-5).all()
    elif shape == BOX:
        residual = local.abs().amax(0) - 1
    elif shape == CYLINDER:
        ring = torch.hypot(local[0], local[2]) - (1 - 0.25 + 0.25 * local[1])
        residual = torch.where(local[1].abs() > 1 - 1e-4, torch.zeros_like(ring), ring)
        assert (local[1].abs() <= 1 + 1e-4).all()
    else:
        residual = local.norm(dim=0) - 1
    assert residual.abs().max() < 2e-4
    assert torch.allclose(frames.normal[0][:, seen].norm(dim=0), torch.ones(int(seen.sum())), atol=1e-4)


def test_silhouette_lets_the_wall_behind_show(build, shoot):
    build.upright((0, 0, 3.0), 1.5, 1.5, math.pi, PLAIN, mask=build.catalogue.mask_kinds["disc"][0])
    build.upright((0, 0, 5.0), 50, 50, math.pi, PLAIN)
    assert build.table().counts[CUTOUT] == 1
    depth = shoot().depth[0]
    x, y = pixel_rays()
    radius = torch.hypot(3 * x, 3 * y) / 1.5
    assert torch.allclose(depth[radius < 0.93], torch.tensor(3.0))
    assert (radius > 1.0).any() and torch.allclose(depth[radius > 1.0], torch.tensor(5.0))


def test_one_sided_wall_is_invisible_from_behind(build, shoot):
    build.upright((0, 0, 3.0), 9, 9, 0.0, PLAIN, one_sided=True)
    build.upright((0, 0, 5.0), 50, 50, math.pi, PLAIN, one_sided=True)
    assert torch.allclose(shoot().depth, torch.tensor(5.0))


def test_shadow_falls_below_a_box(build, shoot, light):
    light[KEY_RGB] = 1.0
    build.floor(0, 0, 100, 100, PLAIN, height=-1.0)
    before = shoot(smooth_edges=False).rgb
    build.box((0.0, 3.0, 5.0), (1.0, 0.05, 1.0), PLAIN, ball=0.0)
    after = shoot(smooth_edges=False)
    x, y = pixel_rays()
    z = 1.0 / y.clamp_min(1e-3)
    in_shadow = (y > 0) & ((x * z).abs() < 0.9) & ((z - 5).abs() < 0.9)
    outside = (y > 0) & ~(((x * z).abs() < 1.1) & ((z - 5).abs() < 1.1))
    assert in_shadow.sum() > 5
    ratio = after.rgb[0] / before[0].clamp_min(1e-3)
    assert ratio[:, in_shadow].max() < 0.85
    assert torch.allclose(ratio[:, outside], torch.ones(()), atol=1e-3)


def test_texture_is_the_tile(build, shoot, textures):
    build.upright((0, 0, 30.0), 18.0, 18.0, math.pi, PLAIN, stretch=True)
    colour = (shoot(smooth_edges=False).rgb[0].permute(1, 2, 0) * 255).numpy()
    tile = textures.tiles[0].astype(np.float64)
    coarse = tile.reshape(32, 16, 32, 16, 3).mean((1, 3))
    seen = colour[2:22, 10:30].mean((0, 1))
    assert np.all(np.abs(np.diff(seen / coarse.mean((0, 1)))) < 0.06)


def test_motion_moves_and_turns(build, shoot):
    build.box((0, 0, 6.0), (0.5, 0.5, 0.5), PLAIN)
    build.move(0, (1.0, 0.0, 0.0), 0.5, (0.0, 0.0, 6.0))
    x, _ = pixel_rays()
    still, later = shoot(time=0.0), shoot(time=1.0)
    assert torch.equal(still.depth, shoot().depth)
    centre = [float((x[~frames.sky[0]]).mean() * 6) for frames in (still, later)]
    assert abs(centre[0]) < 0.05 and 0.8 < centre[1] < 1.2
    assert later.normal[0, 0].abs().max() > 0.3


def test_edges_are_smoothed_but_depth_is_not(build, shoot):
    build.ball((0, 0, 5.0), (1.0, 1.0, 1.0), PLAIN)
    sharp, smooth = shoot(smooth_edges=False), shoot()
    assert torch.equal(sharp.depth, smooth.depth)
    changed = (sharp.rgb - smooth.rgb).abs().amax(1)[0] > 1e-3
    inner = sharp.depth[0] < 4.3
    assert changed.any() and not changed[inner].any()


def test_unknown_backend_is_refused(build, shoot):
    build.floor(0, 0, 1, 1, PLAIN)
    with pytest.raises(ValueError, match="backend"):
        shoot(backend="opengl")
