"""A moving scene played backwards keeps what belongs together together."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.nn.functional import avg_pool3d

from lyra.data import reverse_in_time, reverse_views
from lyra.geometry.cameras import compose, invert_rigid, transform_points
from lyra.structures import Cameras, Frames, Latents, SceneRecord, Trajectory, Views

T, HEIGHT, WIDTH = 9, 32, 48
K = torch.tensor([[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]])


def where_the_firefly_is(times: Tensor) -> Tensor:
    """[T, 3] a point on its way through the world."""
    return torch.stack([0.6 * times - 0.3, 0.2 * torch.sin(4 * times), 2 + 0.3 * times], dim=1)


def pixels(times: Tensor, c2w: Tensor) -> Tensor:
    """[T, 2] column and row at which cameras see the firefly."""
    seen = transform_points(where_the_firefly_is(times)[:, None], invert_rigid(c2w))[:, 0]
    return (seen @ K.T)[:, :2] / seen[:, 2:]


def film(times: Tensor, c2w: Tensor) -> Tensor:
    """[T, 3, H, W] uint8: one bright pixel."""
    frames = torch.zeros(len(times), 3, HEIGHT, WIDTH, dtype=torch.uint8)
    for frame, (x, y) in enumerate(pixels(times, c2w).long()):
        frames[frame, :, y, x] = 255
    return frames


def bright(frames: Tensor) -> Tensor:
    """[T, 2] column and row of the brightest pixel of each frame."""
    index = frames[:, 0].flatten(1).argmax(dim=1)
    return torch.stack([index % WIDTH, index // WIDTH], dim=1)


def encode(clips: Tensor) -> Tensor:
    """A causal code that tells frames apart: every eighth frame, reduced."""
    return avg_pool3d(clips[:, :, ::8], (1, 8, 8))


def imagined_backwards() -> SceneRecord:
    """What a generator makes of a moving source played backwards: it walks away from the source as time falls."""
    times = torch.linspace(0, 1, T)
    source_c2w = torch.eye(4).repeat(T, 1, 1)
    source_c2w[:, 1, 3] = 0.1 * times  # the source camera rises
    cameras = Cameras(source_c2w, K.repeat(T, 1, 1), HEIGHT, WIDTH)
    source = film(times, source_c2w)
    depth = torch.linspace(1, 2, T)[:, None, None].expand(T, HEIGHT, WIDTH)
    views = reverse_views(Views(Frames(source / 255, 24.0), depth, depth > 1.5, cameras))
    away = torch.eye(4).repeat(T, 1, 1)
    away[:, 0, 3] = torch.linspace(0, 0.4, T)
    c2w = compose(views.cameras.c2w, away)
    frames = film(times.flip(0), c2w)[None]
    zoom = K.repeat(T, 1, 1)
    zoom[:, 0, 0] += torch.arange(T)  # intrinsics of a zooming lens: each frame has its own
    path = Trajectory("right", Cameras(c2w, zoom, HEIGHT, WIDTH), 0.4)
    latents = Latents(encode(frames.float().div(255).transpose(1, 2)), (path,), "toy")
    clip_depth = torch.arange(T)[None, :, None, None].expand(1, T, HEIGHT, WIDTH).float()
    return SceneRecord("fly", latents, views, frames, clip_depth, clip_depth > 3, times.flip(0), {"seed": 1})


def test_every_frame_is_seen_by_its_own_camera_at_its_own_time() -> None:
    record = reverse_in_time(imagined_backwards(), encode)
    assert torch.equal(record.times, torch.linspace(0, 1, T))
    c2w = record.latents.trajectories[0].cameras.c2w
    assert torch.equal(bright(record.frames[0]), pixels(record.times, c2w).long())
    assert float(c2w[0, 0, 3]) == pytest.approx(0.4) and float(c2w[-1, 0, 3]) == 0  # farthest away at the beginning
    # the published writer leaves the poses in the order of generation: its frames are seen from elsewhere
    left_behind = imagined_backwards().latents.trajectories[0].cameras.c2w
    missed = (bright(record.frames[0]) - pixels(record.times, left_behind)).abs().amax(dim=1)
    assert (missed > 1).sum() >= T - 1  # only the middle frame is the same either way


def test_depth_masks_intrinsics_and_the_source_turn_around_too() -> None:
    before = imagined_backwards()
    after = reverse_in_time(before, encode)
    assert torch.equal(after.depth, before.depth.flip(1)) and torch.equal(after.mask, before.mask.flip(1))
    K_before, K_after = (r.latents.trajectories[0].cameras.K for r in (before, after))
    assert torch.equal(K_after[:, 0, 0], 40 + torch.arange(T).flip(0)) and torch.equal(K_after, K_before.flip(0))
    assert torch.equal(
        bright((after.views.frames.rgb * 255).byte()), pixels(after.times, after.views.cameras.c2w).long()
    )
    assert torch.equal(after.views.depth[:, 0, 0], torch.linspace(1, 2, T))
    assert torch.equal(after.views.mask, after.views.depth > 1.5)
    assert (after.key, after.meta) == (before.key, before.meta)


def test_latents_are_those_of_the_clip_as_it_runs_now() -> None:
    before = imagined_backwards()
    after = reverse_in_time(before, encode)
    assert torch.equal(after.latents.z, encode(after.frames.float().div(255).transpose(1, 2)))
    assert not torch.equal(after.latents.z, before.latents.z)


def test_twice_backwards_is_forwards() -> None:
    before = imagined_backwards()
    after = reverse_in_time(reverse_in_time(before, encode), encode)
    for name in ("frames", "depth", "mask", "times"):
        assert torch.equal(getattr(after, name), getattr(before, name)), name
    assert torch.equal(after.latents.z, before.latents.z)
    assert torch.equal(after.latents.trajectories[0].cameras.c2w, before.latents.trajectories[0].cameras.c2w)
    assert torch.equal(after.views.frames.rgb, before.views.frames.rgb) and after.views.frames.fps == 24


def test_a_scene_that_stands_still_has_no_time_to_reverse(record: Callable[..., SceneRecord]) -> None:
    with pytest.raises(ValueError, match="stands still"):
        reverse_in_time(record("still"), encode)
    with pytest.raises(ValueError, match="no pictures"):
        reverse_in_time(replace(record("moving", moving=True), frames=None), encode)
