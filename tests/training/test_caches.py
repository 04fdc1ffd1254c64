"""The caches that networks learn from are those that they meet on the finished road."""

import pytest
import torch
from torch.nn import functional as F

from lyra.geometry.trajectories import trajectory_c2w
from lyra.pipeline import warp_along
from lyra.stages import draw_edges, edge_gaussians, warp_clips, warp_moving, warp_moving_clips
from lyra.structures import Cameras, Frames, Trajectory, Views
from lyra.training.caches import moving_caches, still_caches

HEIGHT, WIDTH, TIMES = 64, 96, 5
NAMES = "right", "up", "zoom_in"


def pictures(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    """[..., 3, H, W] of near boxes in front of a wavy wall, each elsewhere, and their z."""
    generator = torch.Generator().manual_seed(0)
    count = int(torch.tensor(shape).prod())
    rgb = F.interpolate(torch.rand(count, 3, 16, 24, generator=generator), size=(HEIGHT, WIDTH), mode="bilinear")
    depth = 2 + 0.2 * F.interpolate(torch.rand(count, 1, 4, 6, generator=generator), size=(HEIGHT, WIDTH))[:, 0]
    for number in range(count):
        left = 20 + 6 * number
        depth[number, 16:48, left : left + 20] = 0.8 + 0.01 * number
        rgb[number, :, 16:48, left : left + 20] *= 0.4
    return rgb.reshape(*shape, 3, HEIGHT, WIDTH), depth.reshape(*shape, HEIGHT, WIDTH)


@pytest.fixture(scope="module")
def paths() -> torch.Tensor:
    """[2, 3, T, 4, 4], the second scene's longer than the first one's."""
    each = [torch.stack([trajectory_c2w(name, TIMES, far) for name in NAMES]) for far in (0.15, 0.3)]
    return torch.stack(each)


K = torch.tensor([[[80.0, 0, WIDTH / 2], [0, 80.0, HEIGHT / 2], [0, 0, 1]], [[95.0, 0, 45], [0, 90.0, 30], [0, 0, 1]]])


def views(rgb: torch.Tensor, depth: torch.Tensor, intrinsics: torch.Tensor, mask: torch.Tensor | None = None) -> Views:
    """Pictures [T, 3, H, W] of a camera that stands still."""
    count = len(rgb)
    mask = torch.ones_like(depth, dtype=torch.bool) if mask is None else mask
    return Views(Frames(rgb), depth, mask, cameras(torch.eye(4).repeat(count, 1, 1), intrinsics))


def cameras(c2w: torch.Tensor, intrinsics: torch.Tensor) -> Cameras:
    return Cameras(c2w, intrinsics.expand(len(c2w), 3, 3), HEIGHT, WIDTH)


@pytest.mark.parametrize("partly", [False, True])
def test_caches_of_pictures_are_those_of_the_finished_road(paths, partly):
    rgb, depth = pictures(2)
    valid = torch.ones_like(depth, dtype=torch.bool)
    valid[:, 20:44, 10:34] = not partly
    warped, z, mask = still_caches(rgb, depth, K, paths, valid if partly else None)
    expected = [
        cache
        for item in range(2)
        for cache in warp_along(
            views(rgb[item, None], depth[item, None], K[item], valid[item, None]),
            [Trajectory(name, cameras(path, K[item])) for name, path in zip(NAMES, paths[item], strict=True)],
        )
    ]
    assert (warped - torch.stack([cache.warped for cache in expected])).abs().max() < 1e-5
    assert torch.equal(z, torch.stack([cache.depth for cache in expected]))
    assert torch.equal(mask, torch.stack([cache.mask for cache in expected]))
    scene = torch.tensor([0, 0, 0, 1, 1, 1])
    assert torch.equal(warped[:, 0], rgb[scene]), "the first frame is the picture itself"
    plain, _, _ = warp_clips(rgb[scene], depth[scene], K[scene], paths.flatten(0, 1), valid[scene])
    assert (warped - plain).abs().amax(dim=(2, 3, 4))[:, 1:].min() > 0.05, "something is drawn in every other frame"


def test_caches_of_moving_clips_are_those_of_the_finished_road(paths):
    rgb, depth = pictures(2, TIMES)
    warped, z, mask = moving_caches(rgb, depth, K, paths)
    expected = []
    for item in range(2):
        clip = views(rgb[item], depth[item], K[item])
        edges = [edge_gaussians(clip, number) for number in range(TIMES)]
        expected += [
            draw_edges(warp_moving(clip, Trajectory(name, cameras(path, K[item]))), *edges)
            for name, path in zip(NAMES, paths[item], strict=True)
        ]
    assert (warped - torch.stack([cache.warped for cache in expected])).abs().max() < 1e-5
    assert torch.equal(z, torch.stack([cache.depth for cache in expected]))
    assert torch.equal(mask, torch.stack([cache.mask for cache in expected]))
    scene = torch.tensor([0, 0, 0, 1, 1, 1])
    assert torch.equal(warped[:, 0], rgb[scene, 0]), "the first frame is the first picture itself"
    standing = torch.eye(4).expand(6, TIMES, 4, 4)
    plain, _, _ = warp_moving_clips(rgb[scene], depth[scene], K[scene], standing, paths.flatten(0, 1))
    assert (warped - plain).abs().amax(dim=(2, 3, 4))[:, 1:].min() > 0.05, "something is drawn in every other frame"


def test_no_gradient_and_no_autocast_reach_what_is_drawn(paths):
    rgb, depth = pictures(1)
    alone, _, _ = still_caches(rgb, depth, K[:1], paths[:1])
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded, _, _ = still_caches(rgb.requires_grad_(), depth, K[:1], paths[:1])
    assert torch.equal(alone, rounded) and rounded.dtype == torch.float32 and not rounded.requires_grad
