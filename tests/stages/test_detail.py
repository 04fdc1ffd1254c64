"""A finer photo gives a scene its sharpness: on its own surfaces, from other cameras too, where there is some."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch
from torch.nn import functional as F

from lyra.geometry.gaussian_sets import of_pixels
from lyra.geometry.quaternions import rotation_from_quaternion
from lyra.geometry.unprojection import unproject
from lyra.metrics import psnr
from lyra.preset import nano, published
from lyra.raster import RenderOptions, render
from lyra.results import rendered_at
from lyra.stages import DetailConfig, detail
from lyra.stages.detail import CHILDREN, FACTOR, _blurred, _divided, _meeting, _projected, _unmixed
from lyra.structures import Cameras, Frames, Gaussians, InputError, Scene, Trajectory, Views

HEIGHT, WIDTH, TIMES = 32, 48, 4
LENS = torch.tensor([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]])
DRAWN = RenderOptions(depth=False)


def path() -> Cameras:
    c2w = torch.eye(4).repeat(TIMES, 1, 1)
    c2w[:, 0, 3] = torch.linspace(0, 0.25, TIMES)
    return Cameras(c2w, LENS.repeat(TIMES, 1, 1), HEIGHT, WIDTH)


def wall(picture: torch.Tensor) -> Gaussians:
    """A slanted wall in the pixels of a picture [3, h, w], seen from the origin; h is HEIGHT or a multiple of it."""
    height, width = picture.shape[1:]
    camera = path()[0].resized(height, width)
    rows = torch.stack(torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij"), -1).float() + 0.5
    ray_y = (rows[..., 0] - camera.K[0, 1, 2]) / camera.K[0, 1, 1]
    depth = 2.0 / (1 - 0.3 * ray_y)
    points = unproject(depth[None], camera.K, camera.c2w)[0].flatten(0, 1)
    made = of_pixels(points, depth.flatten(), picture.flatten(1).mT, camera.K[0], footprint=0.46)
    tilt = torch.tensor([0.3, 0.0, 0.0]).div(2).sin()[0]
    quats = F.normalize(torch.tensor([1.0, float(tilt), 0.0, 0.0]), dim=0).expand(len(points), 4).contiguous()
    return replace(made, quats=quats, scales=made.scales * torch.tensor([1.0, 1.0, 0.05]))


@pytest.fixture(scope="module")
def fine() -> torch.Tensor:
    """A picture with stripes that the networks' size cannot hold on its left, and nothing on its right."""
    random = torch.Generator().manual_seed(0)
    coarse = F.interpolate(
        torch.rand(1, 3, 2, 3, generator=random), size=(HEIGHT * FACTOR, WIDTH * FACTOR), mode="bicubic"
    )
    stripes = torch.zeros(HEIGHT * FACTOR, WIDTH * FACTOR)
    stripes[:, : WIDTH * FACTOR // 2 : 3] = 0.3
    return (0.2 + 0.5 * coarse[0] + stripes).clamp(0, 1)


@pytest.fixture(scope="module")
def seen(fine) -> tuple[Scene, Views, list[SimpleNamespace], torch.Tensor]:
    """The scene at the networks' size, its photo, and two clips of the truth at that size."""
    coarse = F.avg_pool2d(fine[None], FACTOR)
    depth = torch.full((1, HEIGHT, WIDTH), 2.0)
    views = Views(Frames(coarse), depth, torch.ones_like(depth, dtype=torch.bool), path()[0])
    finer = path().resized(FACTOR * HEIGHT, FACTOR * WIDTH)
    truth = F.avg_pool2d(render(wall(fine), finer, DRAWN).rgb, FACTOR)
    told = [SimpleNamespace(trajectory=Trajectory(name, path())) for name in ("left", "right")]
    return Scene((wall(coarse[0]),), path()[0]), views, told, torch.stack([truth, truth])


def agreement(scene: Scene, truth: torch.Tensor, at: int) -> float:
    finer = path()[at].resized(FACTOR * HEIGHT, FACTOR * WIDTH)
    blur = RenderOptions().eps2d * (finer.height / scene.source.height) ** 2
    rgb = render(scene.gaussians[0], finer, replace(DRAWN, eps2d=blur)).rgb
    return float(psnr(rgb[..., 8:-24] if at else rgb, truth))


def test_the_scene_becomes_sharp_from_its_camera_and_from_others(seen, fine):
    scene, views, told, clips = seen
    made = detail(scene, views, fine, told, clips, DetailConfig(1000, 12))
    assert (made.source.height, made.source.width) == (FACTOR * HEIGHT, FACTOR * WIDTH)
    assert agreement(made, fine[None], 0) > agreement(scene, fine[None], 0) + 6
    for at in (1, 3):  # where its camera and the photo's see the wall
        finer = path()[at].resized(FACTOR * HEIGHT, FACTOR * WIDTH)
        truth = render(wall(fine), finer, replace(DRAWN, eps2d=0.02)).rgb[..., 8:-24]
        assert agreement(made, truth, at) > agreement(scene, truth, at) + 3
    assert made.gaussians[0].colors.min() >= 0 and made.gaussians[0].colors.max() <= 1


def test_gaussians_are_divided_where_the_photo_shows_more_and_nowhere_else(seen, fine):
    scene, views, told, clips = seen
    made = detail(scene, views, fine, told, clips, DetailConfig(100_000, 0)).gaussians[0]
    small = made.scales.amax(dim=1) * 40 / made.means[:, 2] < 0.35
    assert int(small.sum()) % CHILDREN == 0
    place = made.means[:, 0] / made.means[:, 2] * 40 + WIDTH / 2
    assert float((place[small] < WIDTH / 2 + 2).float().mean()) == 1
    assert float(small[place < WIDTH / 2 - 2].float().mean()) > 0.99


def test_no_more_are_divided_than_asked_and_those_with_most_to_show_first(seen, fine):
    scene, views, told, clips = seen
    louder = fine.clone()
    louder[:, :16] += 0.6 * (fine[:, :16] - F.avg_pool2d(fine[None], 5, 1, 2)[0, :, :16])
    made = detail(scene, views, louder.clamp(0, 1), told, clips, DetailConfig(100, 0)).gaussians[0]
    assert len(made) == HEIGHT * WIDTH + 100 * (CHILDREN - 1)
    small = made.scales.amax(dim=1) * 40 / made.means[:, 2] < 0.35
    row = made.means[small, 1] / made.means[small, 2] * 40 + HEIGHT / 2
    assert float((row < 9).float().mean()) > 0.95


def test_what_is_hidden_stays_whole(seen, fine):
    scene, views, told, clips = seen
    front = scene.gaussians[0]
    hidden = replace(front, means=2 * front.means, scales=2 * front.scales)
    both = Gaussians(*(torch.cat([getattr(part, name) for part in (front, hidden)]) for name in vars(front)))
    solid = replace(both, opacities=torch.full_like(both.opacities, 0.999))
    made = detail(replace(scene, gaussians=(solid,)), views, fine, told, clips, DetailConfig(100_000, 0)).gaussians[0]
    behind = made.means[:, 2] > 3.2
    assert int(behind.sum()) == len(hidden)


def test_children_lie_on_their_parent_s_plane_and_are_half_as_large(fine):
    parents = wall(F.avg_pool2d(fine[None], FACTOR)[0])
    camera = path()[0]
    children = _divided(parents, _projected(parents, camera), camera, torch.zeros_like(fine))
    normal = rotation_from_quaternion(parents.quats)[:, :, 2]
    for child in children:
        assert (((child.means - parents.means) * normal).sum(dim=1).abs() < 1e-4).all()
        torch.testing.assert_close(child.scales, parents.scales / FACTOR)
        assert torch.equal(child.colors, parents.colors) and torch.equal(child.opacities, parents.opacities)
    centres = torch.stack([child.means for child in children])
    u = centres[..., 0] / centres[..., 2] * 40 + WIDTH / 2
    own = parents.means[:, 0] / parents.means[:, 2] * 40 + WIDTH / 2
    assert torch.allclose((u - own).abs(), torch.full_like(u, 0.25), atol=1e-3)


def test_a_surface_seen_from_its_edge_keeps_its_depth(fine):
    parents = wall(F.avg_pool2d(fine[None], FACTOR)[0])[:50]
    edge_on = replace(parents, quats=torch.tensor([[0.7071, 0.0, 0.7071, 0.0]]).expand(50, 4).contiguous())
    camera = path()[0]
    for child in _divided(edge_on, _projected(edge_on, camera), camera, torch.zeros_like(fine)):
        assert ((child.means[:, 2] / edge_on.means[:, 2] - 1).abs() < 0.035).all()


def test_the_blur_of_a_coarse_picture_can_be_had_in_a_fine_one(seen):
    gaussians = seen[0].gaussians[0]
    finer = path()[0].resized(FACTOR * HEIGHT, FACTOR * WIDTH)
    eps = RenderOptions().eps2d
    wanted = render(gaussians, finer, replace(DRAWN, eps2d=FACTOR**2 * eps)).rgb
    made = render(_blurred(gaussians, path()[0], eps * (1 - 1 / FACTOR**2)), finer, DRAWN).rgb
    plain = render(gaussians, finer, DRAWN).rgb
    assert float(psnr(made, wanted)) > max(40, float(psnr(plain, wanted)) + 10)


def test_a_photo_that_shows_no_more_changes_nothing(seen):
    scene, views, told, clips = seen
    enlarged = F.interpolate(views.frames.rgb, scale_factor=FACTOR, mode="bicubic", align_corners=False)[0].clamp(0, 1)
    assert detail(scene, views, enlarged, told, clips) is scene
    assert detail(scene, views, 1 - enlarged, told, clips, DetailConfig(0)) is scene


def test_what_cannot_be_is_refused(seen, fine):
    scene, views, told, clips = seen
    with pytest.raises(ValueError, match="expected a photo of 3 x 64 x 96"):
        detail(scene, views, fine[:, 1:], told, clips)
    for wrong in ({"most": -1}, {"steps": -1}):
        with pytest.raises(InputError, match="outside 0"):
            DetailConfig(**wrong)


def test_who_names_the_most_gaussians_gets_no_more():
    assert nano().divisible(None, None, 200_000) == DetailConfig().most
    assert nano().divisible(None, 0, 200_000) == DetailConfig().most
    assert nano().divisible(None, 150_000, 120_000) == 10_000
    assert nano().divisible(None, 150_000, 150_000) == 0
    assert nano().divisible(5, None, 200_000) == 5
    assert published().divisible(None, None, 10) == 0


def test_renders_of_a_fine_scene_have_the_size_of_the_clips(seen, fine):
    scene, views, told, clips = seen
    made = detail(scene, views, fine, told, clips, DetailConfig(1000, 0))
    shown = rendered_at(made, path(), RenderOptions())
    assert shown.rgb.shape == (TIMES, 3, HEIGHT, WIDTH) and shown.depth.shape == shown.alpha.shape == (
        TIMES,
        HEIGHT,
        WIDTH,
    )
    finer = render(made.gaussians[0], path().resized(FACTOR * HEIGHT, FACTOR * WIDTH))
    torch.testing.assert_close(shown.rgb[1, :, 4, 7], finer.rgb[1, :, 8:10, 14:16].mean(dim=(1, 2)))
    coarse = rendered_at(scene, path(), RenderOptions())
    assert torch.equal(coarse.rgb, render(scene.gaussians[0], path()).rgb)


@pytest.mark.gpu
def test_a_gpu_divides_the_same_ones_and_comes_as_near(seen, fine):
    scene, views, told, clips = seen
    there = [SimpleNamespace(trajectory=Trajectory(each.trajectory.name, path().to("cuda"))) for each in told]
    moved = (scene.to("cuda"), views.to("cuda"), fine.cuda(), there, clips.cuda())
    here = detail(scene, views, fine, told, clips, DetailConfig(1000, 0))
    divided = detail(*moved, DetailConfig(1000, 0))
    torch.testing.assert_close(divided.gaussians[0].means.cpu(), here.gaussians[0].means, rtol=1e-4, atol=1e-5)
    fitted = detail(*moved, DetailConfig(1000, 12))
    assert agreement(fitted.to("cpu"), fine[None], 0) > agreement(scene, fine[None], 0) + 6


def test_the_farther_side_of_a_step_holds_nothing_of_the_nearer_one():
    """A dark board before a light wall; pixels at its rim are half of both, and the wall's Gaussians show them."""
    depth = torch.full((HEIGHT, WIDTH), 4.0)
    depth[:, : WIDTH // 2] = 2.0
    rgb = torch.full((3, HEIGHT, WIDTH), 0.9)
    rgb[:, :, : WIDTH // 2] = 0.1
    rgb[:, :, WIDTH // 2] = 0.5  # at the wall's depth, half covered
    camera = path()[0]
    points = unproject(depth[None], camera.K, camera.c2w)[0].flatten(0, 1)
    mixed = of_pixels(points, depth.flatten(), rgb.flatten(1).mT, camera.K[0])
    made = _unmixed(mixed, camera, rgb, depth, ~_meeting(depth)).colors.mT.unflatten(1, (HEIGHT, WIDTH))
    assert torch.allclose(made[:, :, WIDTH // 2 :], torch.tensor(0.9), atol=1e-5)
    assert torch.equal(made[:, :, : WIDTH // 2], rgb[:, :, : WIDTH // 2])
    # one that stands before the wall keeps its colour
    nearer = replace(mixed, means=0.6 * mixed.means)
    assert torch.equal(_unmixed(nearer, camera, rgb, depth, ~_meeting(depth)).colors, mixed.colors)
