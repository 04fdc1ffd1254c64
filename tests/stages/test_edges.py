"""Depth edges are drawn into the cache: sharper than splatted points, in holes and beside them, and nowhere else."""

from dataclasses import replace

import pytest
import torch

from lyra.geometry.reliability import edge_mask
from lyra.geometry.splat import splat_points
from lyra.geometry.unprojection import unproject
from lyra.metrics import psnr
from lyra.pipeline import warp_along
from lyra.raster import render
from lyra.stages import draw_edges, edge_gaussians, warp, warp_moving
from lyra.stages.edges import BESIDE, FRAYED
from lyra.structures import Cameras, Conditioning, Frames, Gaussians, Trajectory, Views

HEIGHT, WIDTH, TIMES = 64, 96, 3
NEAR, FAR = 1.0, 2.0
LEFT, RIGHT = 32, 64
"""Columns of a near board in front of a far wall."""


def cameras(shift: float) -> Cameras:
    """To the right, by ``shift`` in the last frame."""
    c2w = torch.eye(4).repeat(TIMES, 1, 1)
    c2w[:, 0, 3] = torch.linspace(0, shift, TIMES)
    K = torch.tensor([[80.0, 0, WIDTH / 2], [0, 80.0, HEIGHT / 2], [0, 0, 1]]).repeat(TIMES, 1, 1)
    return Cameras(c2w, K, HEIGHT, WIDTH)


def pattern(x: torch.Tensor, y: torch.Tensor, phase: float) -> torch.Tensor:
    """[3, ...] fine stripes at points of a plane, in units of the scene."""
    return torch.stack([0.5 + 0.4 * torch.sin(60 * x + 40 * y + phase + channel) for channel in range(3)])


def picture(camera: Cameras) -> torch.Tensor:
    """[1, 3, H, W] what the board and the wall truly look like."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    x, y = (columns - WIDTH / 2) / 80, (rows - HEIGHT / 2) / 80
    shift = camera.c2w[0, 0, 3]
    near = x * NEAR + shift
    board = (near >= (LEFT - WIDTH / 2) / 80) & (near < (RIGHT - WIDTH / 2) / 80)
    wall = pattern((x * FAR + shift) / FAR, y, 2.0)
    return torch.where(board, pattern(near, y, 0.0), wall)[None]


def views(mask: torch.Tensor | None = None) -> Views:
    depth = torch.full((1, HEIGHT, WIDTH), FAR)
    depth[..., LEFT:RIGHT] = NEAR
    mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
    camera = cameras(0)[0]
    return Views(Frames(picture(camera)), depth, mask, camera)


def test_what_stands_at_an_edge_is_drawn_nearer_to_the_truth_than_splatted():
    path = Trajectory("right", cameras(0.006))
    plain = warp(views(), path)
    (cache,) = warp_along(views(), [path])
    truth = torch.cat([picture(path.cameras[frame]) for frame in range(TIMES)])
    rim = ~plain.mask.clone()
    rim[..., : LEFT - 4], rim[..., RIGHT + 4 :] = False, False
    for other in (plain.warped, splatted_edges(plain)):
        gains = psnr(cache.warped[1:], truth[1:], rim[1:]) - psnr(other[1:], truth[1:], rim[1:])
        assert float(gains.min()) > 1.5


def splatted_edges(plain: Conditioning) -> torch.Tensor:
    """[T, 3, H, W] a cache in whose holes the pixels of edges are splatted."""
    source, cameras = views(), plain.trajectory.cameras
    points = unproject(source.depth, source.cameras.K, source.cameras.c2w).reshape(1, -1, 3).expand(TIMES, -1, -1)
    edges = edge_mask(source.depth).flatten(1).float().expand(TIMES, -1)
    colours = source.frames.rgb.flatten(2).expand(TIMES, -1, -1)
    rgb, _, landed = splat_points(points, colours, edges, cameras.w2c, cameras.K, HEIGHT, WIDTH)
    return torch.where((landed & ~plain.mask)[:, None], rgb, plain.warped)


def test_only_holes_and_their_border_change_and_the_first_frame_stays():
    path = Trajectory("right", cameras(0.1))
    plain = warp(views(), path)
    (cache,) = warp_along(views(), [path])
    torch.testing.assert_close(cache.warped[0], plain.warped[0], rtol=0, atol=0)
    near_hole = torch.nn.functional.max_pool2d((~plain.mask).float()[:, None], 2 * FRAYED + 1, 1, FRAYED)[:, 0] > 0
    changed = (cache.warped != plain.warped).any(dim=1)
    assert bool(changed[1:].any()) and not bool((changed & ~near_hole).any())
    assert torch.equal(cache.mask, plain.mask) and torch.equal(cache.depth, plain.depth)


def test_gaussians_stand_at_edges_and_beside_them_where_the_mask_allows():
    edges = edge_gaussians(views())
    columns = torch.floor(edges.means[:, 0] / edges.means[:, 2] * 80 + WIDTH / 2)
    expected = {column for edge in (LEFT, RIGHT) for column in range(edge - 2 - BESIDE, edge + 2 + BESIDE)}
    assert set(columns.int().tolist()) == expected
    mask = torch.ones(1, HEIGHT, WIDTH, dtype=torch.bool)
    mask[..., : WIDTH // 2] = False
    assert int(torch.floor(edge_gaussians(views(mask)).means[:, 0]).min()) >= 0
    assert len(edge_gaussians(views(torch.zeros_like(mask)))) == 0


def test_colours_are_settled_on_the_picture():
    """At an edge, what is drawn shows the picture sharper than colours of single pixels do."""
    source, edges = views(), edge_gaussians(views())
    inner = slice(LEFT - 1, LEFT + 1)
    shown = render(edges, source.cameras).rgb[..., inner]
    unsettled = Gaussians(
        edges.means, edges.quats, edges.scales, edges.opacities, _colours_of_their_pixels(edges, source.frames.rgb[0])
    )
    before = render(unsettled, source.cameras).rgb[..., inner]
    truth = source.frames.rgb[..., inner]
    assert float(psnr(shown, truth)) > float(psnr(before, truth)) + 2


def _colours_of_their_pixels(gaussians: Gaussians, rgb: torch.Tensor) -> torch.Tensor:
    x, y, z = gaussians.means.unbind(dim=-1)
    return rgb[:, (y / z * 80 + HEIGHT / 2).long(), (x / z * 80 + WIDTH / 2).long()].T


def moving_cache(moving: Views, path: Trajectory) -> Conditioning:
    edges = [edge_gaussians(moving, number) for number in range(TIMES)]
    return draw_edges(warp_moving(moving, path), *edges)


def test_each_picture_of_a_moving_scene_brings_its_own_edges():
    """The same picture at every moment: what a still cache shows at each camera."""
    still, path = views(), Trajectory("right", cameras(0.1))
    source = cameras(0)
    moving = Views(
        Frames(still.frames.rgb.expand(TIMES, -1, -1, -1)),
        still.depth.expand(TIMES, -1, -1),
        still.mask.expand(TIMES, -1, -1),
        source,
    )
    cache, (same,) = moving_cache(moving, path), warp_along(still, [path])
    torch.testing.assert_close(cache.warped, same.warped, atol=1e-5, rtol=0)
    other = replace(moving, frames=Frames(torch.cat([moving.frames.rgb[:2], 1 - moving.frames.rgb[2:]])))
    changed = moving_cache(other, path)
    torch.testing.assert_close(changed.warped[:2], cache.warped[:2], rtol=0, atol=0)
    assert float((changed.warped[2] - (1 - cache.warped[2])).abs().mean()) < 0.01


def test_a_wrong_number_of_sets_is_refused():
    edges = edge_gaussians(views())
    with pytest.raises(ValueError, match="2 sets"):
        draw_edges(warp(views(), Trajectory("right", cameras(0.1))), edges, edges)


def test_a_picture_without_depth_edges_is_warped_as_before():
    flat = Views(views().frames, torch.full((1, HEIGHT, WIDTH), FAR), views().mask, cameras(0)[0])
    path = Trajectory("right", cameras(0.1))
    assert len(edge_gaussians(flat)) == 0
    assert draw_edges(warp(flat, path), edge_gaussians(flat)).warped.equal(warp_along(flat, [path])[0].warped)
    torch.testing.assert_close(warp_along(flat, [path])[0].warped, warp(flat, path).warped, rtol=0, atol=0)
