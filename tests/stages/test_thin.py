"""Thinning: what shows least goes, what the cameras see stays, and nothing moves."""

from dataclasses import replace

import pytest
import torch

from lyra.geometry import trajectory_c2w
from lyra.geometry.gaussian_sets import joined
from lyra.metrics import psnr
from lyra.raster import render
from lyra.raster.showing import shown_of
from lyra.stages import ThinConfig, thin
from lyra.structures import Cameras, Gaussians, InputError, Scene, Trajectory

HEIGHT, WIDTH = 48, 64
K = torch.tensor([[[50.0, 0, WIDTH / 2], [0, 50.0, HEIGHT / 2], [0, 0, 1]]])
SOURCE = Cameras(torch.eye(4)[None], K, HEIGHT, WIDTH)


def path(name: str = "left", frames: int = 5) -> Trajectory:
    return Trajectory(name, Cameras(trajectory_c2w(name, frames, 0.3), K.expand(frames, 3, 3), HEIGHT, WIDTH), 0.3)


def cloud(count: int, seed: int = 0) -> Gaussians:
    generator = torch.Generator().manual_seed(seed)
    means = torch.rand(count, 3, generator=generator) * torch.tensor([1.6, 1.2, 1.5]) - torch.tensor([0.8, 0.6, -0.8])
    scales = torch.rand(count, 3, generator=generator) * 0.08 + 0.02
    opacities = torch.rand(count, generator=generator) * 0.8 + 0.1
    upright = torch.eye(1, 4).expand(count, 4)
    return Gaussians(means, upright, scales, opacities, torch.rand(count, 3, generator=generator))


def wall(z: float, step: float, opacity: float) -> Gaussians:
    """Gaussians side by side in a plane that fills the picture."""
    y, x = torch.meshgrid(torch.arange(-0.9, 0.9, step) * z, torch.arange(-1.2, 1.2, step) * z, indexing="ij")
    means = torch.stack([x, y, torch.full_like(x, z)], dim=-1).reshape(-1, 3)
    count = len(means)
    color = torch.rand(count, 3, generator=torch.Generator().manual_seed(1))
    return Gaussians(
        means, torch.eye(1, 4).expand(count, 4), torch.full((count, 3), step * z * 0.6), torch.full((count,), opacity),
        color,
    )  # fmt: skip


def test_what_shows_is_the_sum_of_explicit_blending_weights():
    gaussians = cloud(24)
    white = torch.eye(24)[:, :, None].expand(24, 24, 3)
    explicit = torch.stack([render(replace(gaussians, colors=one), SOURCE).rgb[0, 0].sum() for one in white])
    torch.testing.assert_close(shown_of(gaussians, SOURCE), explicit, rtol=1e-4, atol=1e-3)
    assert not gaussians.colors.requires_grad


@pytest.mark.parametrize(("moment", "frames"), [(None, (2, 4)), (4, (2, 4)), (1, (1, 2, 4))])
def test_those_that_show_most_stay_in_their_order(moment, frames):
    gaussians, paths = cloud(200), [path("left"), path("up")]
    left = thin(Scene((gaussians,), SOURCE), paths, ThinConfig(100), moment=moment).gaussians[0]
    seen = [SOURCE] * 3 + [each.cameras[frame] for each in paths for frame in frames]
    total = torch.stack([shown_of(gaussians, camera) for camera in seen]).sum(dim=0)
    kept = torch.isin(torch.arange(200), total.topk(100).indices)
    assert torch.equal(left.means, gaussians.means[kept]) and torch.equal(left.colors, gaussians.colors[kept])


def test_what_is_hidden_goes_before_what_is_faint_or_small():
    front, hidden = wall(1.0, 0.05, 0.9), wall(3.0, 0.2, 0.99)
    front = joined(front, wall(1.0, 0.05, 0.9))  # twice, so that nothing shines through
    scene = Scene((joined(hidden, front),), SOURCE)
    left = thin(scene, [path()], ThinConfig(len(front))).gaussians[0]
    assert float((left.means[:, 2] < 2).float().mean()) > 0.95
    for camera in (SOURCE, path().cameras[4]):
        before, after = (render(each, camera).rgb for each in (scene.gaussians[0], left))
        assert float(psnr(after, before)) > 40
    by_opacity = joined(hidden, front)[joined(hidden, front).opacities.topk(len(front)).indices]
    assert float(psnr(render(by_opacity, SOURCE).rgb, render(scene.gaussians[0], SOURCE).rgb)) < 30


def test_each_time_has_its_own_share():
    few, many = cloud(30, 1), cloud(90, 2)
    scene = Scene((few, many), SOURCE, (0.0, 0.5))
    left = thin(scene, [path()], ThinConfig(50))
    assert left.gaussians[0] is few and len(left.gaussians[1]) == 50 and left.times == scene.times
    alone = thin(Scene((many,), SOURCE), [path()], ThinConfig(50))
    assert torch.equal(alone.gaussians[0].means, left.gaussians[1].means)


def test_nothing_goes_where_there_is_room():
    scene = Scene((cloud(30),), SOURCE)
    for most in (0, 30, 200_000):
        assert thin(scene, [path()], ThinConfig(most)) is scene
    assert len(thin(scene, [], ThinConfig(5)).gaussians[0]) == 5  # a scene without trajectories has its source
    with pytest.raises(InputError, match="thinned to -1 Gaussians; give a number above 0, or 0 to keep all"):
        ThinConfig(-1)
