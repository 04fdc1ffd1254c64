"""Gaps are covered: where the camera looked through, and nowhere else; never before the source picture."""

import pytest
import torch
from torch import nn

from lyra.geometry import transform_points
from lyra.geometry.gaussian_sets import joined
from lyra.raster import render
from lyra.stages import CoverConfig, cover
from lyra.stages.cover import BEHIND, PUSH, PUSHES, _depths, _found, _lifted, _Source
from lyra.structures import Cameras, Conditioning, Frames, Gaussians, InputError, Scene, Trajectory, Views

HEIGHT, WIDTH, TIMES = 48, 64, 5
WALL, CLIFF = 1.0, 2.0
"""The scene: a wall that fills the left half of the source picture, and far ground behind its edge."""


class Constant(nn.Module):
    """A depth network that answers one depth everywhere."""

    def __init__(self, depth: float) -> None:
        super().__init__()
        self.depth = depth

    def infer(self, rgb, settled=True, thorough=True):
        depth = torch.full((len(rgb), HEIGHT, WIDTH), self.depth)
        return depth, depth > 99, torch.ones(len(rgb))


def cameras(shift: float, count: int = TIMES) -> Cameras:
    """To the right by ``shift`` in the last frame."""
    c2w = torch.eye(4).repeat(count, 1, 1)
    c2w[:, 0, 3] = torch.linspace(0, shift, count)
    K = torch.tensor([[60.0, 0, WIDTH / 2], [0, 60.0, HEIGHT / 2], [0, 0, 1]]).repeat(count, 1, 1)
    return Cameras(c2w, K, HEIGHT, WIDTH)


def views() -> Views:
    depth = torch.full((1, HEIGHT, WIDTH), CLIFF)
    depth[..., : WIDTH // 2] = WALL
    return Views(
        Frames(torch.full((1, 3, HEIGHT, WIDTH), 0.2)), depth, torch.ones_like(depth, dtype=torch.bool), cameras(0)[0]
    )


def photo_scene() -> Scene:
    """Every pixel of the source picture at its depth."""
    source = views()
    rows, columns = torch.meshgrid(torch.arange(HEIGHT) + 0.5, torch.arange(WIDTH) + 0.5, indexing="ij")
    z = source.depth[0]
    means = torch.stack([(columns - WIDTH / 2) / 60 * z, (rows - HEIGHT / 2) / 60 * z, z], dim=-1).reshape(-1, 3)
    count = len(means)
    gaussians = Gaussians(
        means,
        torch.eye(1, 4).repeat(count, 1),
        (z.reshape(-1, 1) * 0.5 / 60).expand(-1, 3),
        torch.full((count,), 0.98),
        torch.full((count, 3), 0.2),
    )
    return Scene((gaussians,), source.cameras[0])


def clip(path: Cameras) -> tuple[Conditioning, torch.Tensor]:
    """A clip whose cache shows depth CLIFF in half of each frame, and whose imagined frames are orange."""
    count = len(path)
    mask = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.bool)
    mask[..., : WIDTH // 2] = True
    trajectory = Trajectory("right", path, 1.0)
    rgb = torch.zeros(count, 3, HEIGHT, WIDTH)
    told = Conditioning(trajectory, rgb[0], rgb, torch.where(mask, CLIFF, 0.0), mask)
    orange = torch.tensor([0.9, 0.5, 0.1])[:, None, None].expand(count, 3, HEIGHT, WIDTH)
    return told, orange[None]


def added(before: Scene, after: Scene) -> Gaussians:
    old, new = before.gaussians[0], after.gaussians[0]
    assert torch.equal(new.means[: len(old)], old.means)
    return new[len(old) :]


def test_no_camera_of_the_path_looks_through_the_scene_any_more():
    scene, path = photo_scene(), cameras(0.5)
    told, frames = clip(path)
    after = cover(scene, views(), [told], frames, Constant(CLIFF), CoverConfig(every=1))
    open_before = render(scene.gaussians[0], path[TIMES - 1]).alpha[0] < 0.8
    assert 0.05 < float(open_before.float().mean()) < 0.6
    rendering = render(after.gaussians[0], path[TIMES - 1])
    assert float(rendering.alpha[0][open_before].mean()) > 0.95
    shown = rendering.rgb[0][:, open_before].mean(dim=1)
    torch.testing.assert_close(shown, torch.tensor([0.9, 0.5, 0.1]), atol=0.06, rtol=0)


def test_the_source_picture_keeps_its_look():
    scene = photo_scene()
    told, frames = clip(cameras(0.5))
    after = cover(scene, views(), [told], frames, Constant(0.3), CoverConfig(every=1))  # a depth that is far too near
    new = added(scene, after)
    assert len(new) > 100
    camera = views().cameras
    local = transform_points(new.means, camera.w2c[0])
    column = local[:, 0] / local[:, 2] * 60 + WIDTH / 2
    row = local[:, 1] / local[:, 2] * 60 + HEIGHT / 2
    inside = (column >= 0) & (column < WIDTH) & (row >= 0) & (row < HEIGHT)
    surface = torch.where(column < WIDTH // 2, WALL, CLIFF)
    assert bool((local[inside, 2] >= BEHIND * surface[inside] - 1e-5).all())
    difference = render(after.gaussians[0], camera).rgb - render(scene.gaussians[0], camera).rgb
    assert float(difference.abs().mean()) < 0.01


def test_a_scene_without_gaps_and_a_camera_at_rest_add_nothing():
    scene = photo_scene()
    for path in (cameras(0.0), cameras(1e-4)):
        told, frames = clip(path)
        assert len(added(scene, cover(scene, views(), [told], frames, Constant(CLIFF)))) == 0
    told, frames = clip(cameras(0.5))
    assert len(added(scene, cover(scene, views(), [told], frames, Constant(CLIFF), CoverConfig(every=0)))) == 0


def test_what_one_clip_covered_the_next_one_leaves_alone():
    scene = photo_scene()
    told, frames = clip(cameras(0.5))
    once = cover(scene, views(), [told], frames, Constant(CLIFF))
    twice = cover(scene, views(), [told, told], frames.repeat(2, 1, 1, 1, 1), Constant(CLIFF))
    assert len(added(scene, twice)) <= 1.1 * len(added(scene, once))


def test_gaps_are_those_of_the_whole_scene_rendered_anew_at_every_stop():
    """Old and new Gaussians are rendered apart; light that passes both is the product of what passes each."""
    scene, (told, frames), (back, other) = photo_scene(), clip(cameras(0.5)), clip(cameras(-0.3))
    clips, source = [told, back], views()
    pictures = torch.cat([frames, 0.5 * other])
    after = cover(scene, source, clips, pictures, Constant(CLIFF), CoverConfig(every=1))
    plain = scene.gaussians[0]
    for frame in range(1, TIMES):
        for view, one in enumerate(clips):
            found = _found(plain, source, one, pictures[view, frame], frame, Constant(CLIFF), CoverConfig())
            plain = joined(plain, found)
    assert len(plain) > len(scene.gaussians[0]) + 200
    assert torch.equal(after.gaussians[0].means, plain.means) and torch.equal(after.gaussians[0].colors, plain.colors)


@pytest.mark.parametrize("choice", [{"every": -1}, {"transparency": 0.0}, {"transparency": 1.0}])
def test_impossible_choices_are_refused(choice):
    with pytest.raises(InputError, match="gaps every"):
        CoverConfig(**choice)


class Bright(nn.Module):
    """A depth network that answers the brightness of each picture everywhere."""

    def infer(self, rgb, settled=True, thorough=True):
        depth = rgb.mean(dim=(1, 2, 3))[:, None, None].expand(-1, HEIGHT, WIDTH)
        return depth, depth > 99, torch.ones(len(rgb))


def test_depths_asked_together_are_those_asked_one_by_one():
    generator = torch.Generator().manual_seed(0)
    frames = (
        torch.rand(2, TIMES, 3, HEIGHT, WIDTH, generator=generator) * torch.linspace(0.2, 1, TIMES)[:, None, None, None]
    )
    told = []
    for _ in range(2):
        mask = torch.rand(TIMES, HEIGHT, WIDTH, generator=generator) < 0.5
        depth = (1 + torch.rand(TIMES, HEIGHT, WIDTH, generator=generator)) * mask
        told.append(
            Conditioning(Trajectory("right", cameras(0.5)), frames[0, 0], torch.zeros_like(frames[0]), depth, mask)
        )
    stops = [(0, 2), (1, 2), (0, 4), (1, 1)]
    together = _depths(Bright(), frames, told, stops)
    for depth, stop in zip(together, stops, strict=True):
        torch.testing.assert_close(depth, _depths(Bright(), frames, told, [stop])[0])
        view, frame = stop
        seen = told[view].mask[frame]
        torch.testing.assert_close(depth[seen], told[view].depth[frame][seen])


def test_a_point_before_the_source_picture_is_pushed_no_farther_than_it_must_be():
    camera = cameras(0.4)[4]
    gap = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    gap[10:20] = True
    picture, places = torch.rand(3, HEIGHT, WIDTH), gap.flatten().nonzero()[:, 0]
    depth = torch.full((HEIGHT, WIDTH), 0.8)
    lifted = _lifted(picture, depth, places, camera.c2w[0], camera.K[0], _Source.of(views()))
    torch.testing.assert_close(lifted.colors, picture[:, gap].T)
    z = transform_points(lifted.means, camera.w2c[0])[:, 2]
    expected = []
    for row, column in gap.nonzero().tolist():  # the same, pixel by pixel and step by step
        ray = torch.tensor([(column + 0.5 - WIDTH / 2) / 60, (row + 0.5 - HEIGHT / 2) / 60, 1.0])
        distance = 0.8
        for _ in range(PUSHES + 1):
            point = ray * distance + camera.c2w[0, :3, 3]
            u, v = point[:2] / point[2] * 60 + torch.tensor([WIDTH / 2, HEIGHT / 2])
            if not (0 <= u < WIDTH and 0 <= v < HEIGHT) or point[2] >= BEHIND * views().depth[0, int(v), int(u)]:
                expected.append(distance)
                break
            distance *= PUSH
    assert len(set(expected)) > 2
    torch.testing.assert_close(z, torch.tensor(expected), rtol=1e-4, atol=1e-4)
