"""A scene takes steps towards its pictures: the right ones, the same near and far, and no others."""

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from lyra.metrics import psnr
from lyra.raster import RenderOptions, rasterize, render
from lyra.stages import RefineConfig, refine, refine_moment
from lyra.structures import Cameras, Frames, Gaussians, InputError, Scene, Trajectory, Views

HEIGHT, WIDTH, TIMES, COUNT = 32, 48, 5, 60
LENS = torch.tensor([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]])


def cloud(seed: int, dtype: torch.dtype = torch.float32) -> Gaussians:
    """A wall of blobs at z 2, and a last one behind the camera."""
    random = torch.Generator().manual_seed(seed)
    means = torch.rand(COUNT, 3, generator=random) * torch.tensor([2.4, 1.6, 0.2]) + torch.tensor([-1.2, -0.8, 2.0])
    means[-1, 2] = -1
    return Gaussians(
        means.to(dtype),
        torch.nn.functional.normalize(torch.randn(COUNT, 4, generator=random), dim=1).to(dtype),
        (0.08 + 0.12 * torch.rand(COUNT, 3, generator=random)).to(dtype),
        (0.3 + 0.5 * torch.rand(COUNT, generator=random)).to(dtype),
        torch.rand(COUNT, 3, generator=random).to(dtype),
    )


def moved(gaussians: Gaussians) -> Gaussians:
    """The same, a little off in everything."""
    random = torch.Generator().manual_seed(9)
    noise = {name: torch.randn(getattr(gaussians, name).shape, generator=random) for name in vars(gaussians)}
    return Gaussians(
        gaussians.means + 0.02 * noise["means"],
        torch.nn.functional.normalize(gaussians.quats + 0.1 * noise["quats"], dim=1),
        gaussians.scales * (0.15 * noise["scales"]).exp(),
        (gaussians.opacities + 0.1 * noise["opacities"]).clamp(0.05, 0.95),
        (gaussians.colors + 0.1 * noise["colors"]).clamp(0, 1),
    )


def cameras(unit: float = 1.0) -> Cameras:
    c2w = torch.eye(4).repeat(TIMES, 1, 1)
    c2w[:, 0, 3] = torch.linspace(0, 0.3 * unit, TIMES)
    return Cameras(c2w, LENS.repeat(TIMES, 1, 1), HEIGHT, WIDTH)


def seen(gaussians: Gaussians, unit: float = 1.0) -> tuple[Views, list[SimpleNamespace], torch.Tensor]:
    """The photo and two clips of the same path that show some Gaussians, and the path they were taken along."""
    path = cameras(unit)
    clip = render(gaussians, path).rgb.clamp(0, 1)
    depth = torch.full((1, HEIGHT, WIDTH), 2.0 * unit)
    views = Views(Frames(clip[:1]), depth, torch.ones_like(depth, dtype=torch.bool), path[0])
    told = [SimpleNamespace(trajectory=Trajectory(name, path)) for name in ("left", "right")]
    return views, told, torch.stack([clip, clip])


def refined(start: Gaussians, steps: int = 16, **choices: object) -> Gaussians:
    views, told, clips = seen(cloud(1))
    scene = Scene((start,), views.cameras[0])
    return refine(scene, views, told, clips, RefineConfig(steps), **choices).gaussians[0]


def test_a_disturbed_scene_comes_near_to_its_pictures_and_to_those_it_was_not_shown():
    truth, start = cloud(1), moved(cloud(1))
    _, _, clips = seen(truth)
    held, shown = torch.tensor([2]), torch.tensor([1, 3, 4])

    def agreement(gaussians: Gaussians, frames: torch.Tensor) -> float:
        return float(psnr(render(gaussians, cameras()[frames]).rgb, clips[0, frames]).mean())

    made = refined(start, unseen=[2])
    assert agreement(made, shown) > agreement(start, shown) + 5
    assert agreement(made, held) > agreement(start, held) + 5
    assert agreement(refined(start, 60, unseen=[2]), held) > agreement(made, held) + 1
    assert len(made) == len(start) and made.colors.min() >= 0 and made.colors.max() <= 1
    assert torch.allclose(made.quats.norm(dim=1), torch.ones(COUNT), atol=1e-5)


def test_the_first_step_is_that_of_adam_along_the_gradient_of_the_reference_renderer():
    """In the first step Adam moves each number by ``rate * g / (|g| + eps)``; g from float64 and another renderer."""
    start = moved(cloud(1))
    views, told, clips = seen(cloud(1))
    made = refine(Scene((start,), views.cameras[0]), views, told, clips, RefineConfig(1, pictures=100)).gaussians[0]
    leaves = {name: getattr(start, name).double().requires_grad_() for name in vars(start)}
    size = start.scales.double().max(dim=1, keepdim=True).values
    offset = torch.zeros(COUNT, 3, dtype=torch.float64, requires_grad=True)
    logs = leaves["scales"].detach().log().requires_grad_()
    logits = torch.logit(leaves["opacities"].detach()).requires_grad_()
    path = cameras()
    rgb, _, _ = rasterize(
        leaves["means"] + size * offset, leaves["quats"], logs.exp(), logits.sigmoid(), leaves["colors"],
        path.w2c.double(), path.K.double(), HEIGHT, WIDTH, RenderOptions(backend="reference"),
    )  # fmt: skip
    often = torch.tensor([3.0, 2, 2, 2, 2], dtype=torch.float64)[:, None, None, None]  # both clips look alike
    (often * (rgb - clips[0].double()).square()).sum().backward()

    def step(gradient: torch.Tensor, rate: float) -> torch.Tensor:
        return -rate * gradient / (gradient.abs() + 1e-3)

    moves = {
        "means": (made.means - start.means, size * step(offset.grad, 0.15)),
        "scales": (made.scales.log() - start.scales.log(), step(logs.grad, 0.1)),
        "opacities": (torch.logit(made.opacities) - torch.logit(start.opacities), step(logits.grad, 0.2)),
        "colors": (made.colors, (start.colors + step(leaves["colors"].grad, 0.016)).clamp(0, 1)),
    }
    for name, (found, expected) in moves.items():
        large = expected.abs() > 0.3 * expected.abs().max()  # small gradients differ between the renderers
        assert large.sum() > COUNT / 4, name
        torch.testing.assert_close(found.double()[large], expected[large], rtol=0.02, atol=1e-4, msg=name)


def test_what_no_picture_shows_stays_as_it_is():
    start = moved(cloud(1))
    made = refined(start)
    for name in ("means", "scales", "opacities", "colors", "quats"):
        torch.testing.assert_close(getattr(made, name)[-1], getattr(start, name)[-1], rtol=1e-5, atol=1e-6, msg=name)
    assert not torch.allclose(made.means[:-1], start.means[:-1])


def test_a_world_ten_times_as_large_takes_the_same_steps():
    """Positions move by parts of a Gaussian's own size."""
    ten = 10.0
    truth, start = cloud(1), moved(cloud(1))
    large = [replace(one, means=ten * one.means, scales=ten * one.scales) for one in (truth, start)]
    views, told, clips = seen(large[0], ten)
    there = refine(Scene((large[1],), views.cameras[0]), views, told, clips, RefineConfig(4)).gaussians[0]
    here = refined(start, 4)
    torch.testing.assert_close(there.means / ten, here.means, rtol=0, atol=2e-3)
    torch.testing.assert_close(there.colors, here.colors, rtol=0, atol=5e-3)


def test_frames_that_must_not_be_seen_make_no_difference_and_others_do():
    start = moved(cloud(1))
    views, told, clips = seen(cloud(1))
    scene = Scene((start, cloud(2)), views.cameras[0], (0.0, 1.0))

    def made(frame: int) -> Scene:
        changed = clips.clone()
        changed[:, frame] = 0.5
        return refine(scene, views, told, changed, RefineConfig(6), unseen=[2, 4])

    plain = refine(scene, views, told, clips, RefineConfig(6), unseen=[2, 4])
    assert torch.equal(made(2).gaussians[0].means, plain.gaussians[0].means)
    assert not torch.allclose(made(3).gaussians[0].colors, plain.gaussians[0].colors, atol=1e-3)
    assert plain.gaussians[1] is scene.gaussians[1], "only the first set is refined"


def test_the_same_seed_gives_the_same_scene_and_no_steps_the_scene_itself():
    start, told = moved(cloud(1)), []
    assert all(torch.equal(getattr(refined(start), n), getattr(refined(start), n)) for n in vars(start))
    assert not torch.equal(refined(start, seed=1).means, refined(start).means)
    assert refined(start, 0) is start
    assert refined(start, 3, on_step=told.append) is not start and told == [0, 1, 2]
    assert refined(start, unseen=range(TIMES)) is start, "nothing may be looked at"
    for choices in ({"steps": -1}, {"steps": 10**6}, {"pictures": 0}):
        with pytest.raises(InputError, match=r"; (0|give)"):
            RefineConfig(**choices)


def test_a_moment_is_fitted_to_its_own_picture_and_to_that_frame_of_the_clips():
    start = moved(cloud(1))
    views, told, clips = seen(cloud(1))
    path = cameras()
    standing = replace(path, c2w=torch.eye(4).repeat(TIMES, 1, 1))
    moments = Views(
        Frames(views.frames.rgb.repeat(TIMES, 1, 1, 1)), views.depth.repeat(TIMES, 1, 1),
        views.mask.repeat(TIMES, 1, 1), standing,
    )  # fmt: skip

    def made(clips: torch.Tensor, time: int = 3) -> Gaussians:
        return refine_moment(start, moments, time, told, clips, RefineConfig(8, pictures=2))

    found = made(clips)

    def agreement(gaussians: Gaussians, frame: int) -> float:
        return float(psnr(render(gaussians, path[frame]).rgb, clips[0, frame : frame + 1]).mean())

    assert agreement(found, 3) > agreement(start, 3) + 3 and agreement(found, 0) > agreement(start, 0) + 3
    changed = clips.clone()
    changed[:, 4] = 0.5
    assert torch.equal(made(changed).means, found.means), "other moments are not looked at"
    changed[:, 3] = 0.5
    assert not torch.allclose(made(changed).colors, found.colors, atol=1e-3)
    assert made(clips, time=0) is start, "every clip begins at the source: there is nothing to look at"
