"""A pictured world: its cameras see what its picture shows, and frames are counted as the protocols say."""

import pytest
import torch

from lyra.evaluation.unseen import departs, is_late, path_generator, picture_world, scored_frames
from lyra.geometry.trajectories import trajectory_c2w
from lyra.worlds import load_textures

SIZE = (32, 64)


def test_the_true_view_of_the_source_camera_is_the_picture():
    textures = load_textures(None, "val", limit=8)
    world = picture_world(3, textures, textures.to("cpu"), SIZE)
    assert world.rgb.shape == (1, 3, *SIZE) and float(world.rgb.min()) >= 0 and float(world.rgb.max()) <= 1
    assert float(world.depth[~world.sky].median()) == pytest.approx(1, rel=0.02)
    clip = world.film(torch.eye(4).expand(1, 1, 4, 4))
    assert torch.allclose(clip.rgb[0, 0].clamp(0, 1), world.rgb, atol=1e-5)
    assert torch.equal(clip.K, world.camera.K)
    views = world.views(2 * world.depth)
    assert views.mask.all() and torch.equal(views.depth, 2 * world.depth) and views.cameras is world.camera
    again = picture_world(3, textures, world.store, SIZE)
    other = picture_world(4, textures, world.store, SIZE)
    assert torch.equal(again.rgb, world.rgb) and not torch.equal(other.rgb, world.rgb)


def test_frames_are_counted_back_from_the_last():
    assert scored_frames(17, 5) == [1, 6, 11, 16]
    assert scored_frames(17, 8) == [8, 16] and scored_frames(17, 16) == [16]
    assert is_late(torch.tensor([1, 10, 11, 16]), 17).tolist() == [False, False, True, True]


def test_a_circle_is_back_at_its_start():
    away = departs(trajectory_c2w("clockwise", 17, 0.3))
    assert [frame for frame, moved in enumerate(away.tolist()) if not moved] == [0, 8, 16]


def test_movement_distances_follow_seed_and_world():
    drawn = {pair: float(torch.rand((), generator=path_generator(*pair))) for pair in ((0, 1), (0, 2), (1, 1))}
    assert len(set(drawn.values())) == 3
    assert drawn[0, 1] == float(torch.rand((), generator=path_generator(0, 1)))
