"""Worlds through cameras: one look per world, a first frame that is a photograph, clean frames to imagine."""

from dataclasses import replace

import pytest
import torch

from lyra.pipeline import warp_along
from lyra.stages import draw_edges, edge_gaussians, warp, warp_moving
from lyra.structures import Cameras, Frames, Trajectory, Views
from lyra.training.device_data import PathBank
from lyra.training.world_clips import world_clips
from lyra.worlds import collate, film, film_standing, sample_world
from lyra.worlds.photographic import develop, neutral_looks

CPU = torch.device("cpu")
SIZE = (32, 56)


class NoDepth:
    """Stands for a depth network that says 1 everywhere."""

    def infer(self, rgb, settled=True, thorough=True):
        return torch.ones_like(rgb[:, 0]), None, None


@pytest.fixture(scope="module")
def material(few_textures):
    textures = few_textures["train"]
    worlds = collate([sample_world(seed, "train", textures) for seed in (3, 5)], CPU)
    torch.manual_seed(1)
    paths = PathBank(3, CPU, 0, 4).draw(2, 2)
    store = textures.to("cpu")
    return worlds, store, paths, film(worlds, store, paths, *SIZE)


def looks(**changes):
    look = neutral_looks(2)
    return replace(look, **{name: torch.full((2,), value) for name, value in changes.items()})


def test_without_cameras_clips_are_what_was_filmed(material):
    worlds, store, paths, clip = material
    frames, warped, mask = world_clips(worlds, store, paths, *SIZE, NoDepth(), torch.zeros(2, dtype=torch.bool))
    assert torch.equal(frames, clip.rgb.flatten(0, 1))
    assert mask[:, 0].all() and torch.equal(warped[:, 0], frames[:, 0])
    error = (warped - frames).square().mean(dim=2)
    assert error[mask].mean() < 0.01  # true depth puts pixels where they belong


def test_one_camera_takes_all_frames_of_a_world_and_only_the_first_has_noise(material):
    worlds, store, paths, clip = material
    look = looks(exposure=0.5, vignette=0.3, read=0.05, quality=40.0)
    torch.manual_seed(0)
    frames, warped, _ = world_clips(worlds, store, paths, *SIZE, NoDepth(), torch.zeros(2, dtype=torch.bool), look)
    steady = looks(exposure=0.5).pick(torch.tensor([0, 0, 1, 1]))
    developed = develop(clip.rgb.flatten(0, 1), steady)
    assert torch.allclose(frames[:, 1:], developed[:, 1:], atol=1e-5)  # no vignette, noise or JPEG
    noise = (frames[:, 0] - developed[:, 0]).abs().mean(dim=(1, 2, 3))
    assert (noise > 0.01).all()
    assert torch.equal(frames[0, 0], frames[1, 0]) and torch.equal(frames[2, 0], frames[3, 0])  # one photograph each
    assert torch.equal(warped[:, 0], frames[:, 0])  # which is what the cache is made of


def test_the_cache_is_of_predicted_depth_where_asked(material):
    worlds, store, paths, _ = material
    given = {
        name: world_clips(worlds, store, paths, *SIZE, NoDepth(), torch.tensor(flags))[1]
        for name, flags in {"true": (False, False), "mixed": (False, True), "flat": (True, True)}.items()
    }
    assert torch.equal(given["mixed"][:2], given["true"][:2]) and torch.equal(given["mixed"][2:], given["flat"][2:])
    assert (given["true"] - given["flat"]).abs().mean() > 1e-3


def moving_batch(textures, still=0):
    """A world whose mover is seen to move all the time, and one of those that stand still."""
    worlds = [sample_world(seed, "train", textures, "room") for seed in range(40)]
    return collate([[w for w in worlds if w.moving][1], [w for w in worlds if not w.moving][still]], CPU)


def test_a_moving_world_is_given_as_a_clip_and_a_still_one_as_a_picture(few_textures):
    worlds, store = moving_batch(few_textures["train"]), few_textures["train"].to("cpu")
    standing = torch.eye(4).repeat(2, 1, 3, 1, 1)  # seen from where they are given, all is in the cache
    times = torch.tensor([[0.0, 1.0, 2.0]]).repeat(2, 1)
    nothing = torch.zeros(2, dtype=torch.bool)
    frames, warped, mask = world_clips(worlds, store, standing, *SIZE, NoDepth(), nothing, times=times)
    assert torch.equal(frames[0], warped[0]) and mask[0].all()  # frame i is picture i
    assert (frames[0, 1] - frames[0, 0]).abs().max() > 0.05 and (frames[0, 2] - frames[0, 1]).abs().max() > 0.05
    assert torch.equal(frames[1], frames[1, :1].expand_as(frames[1]))
    still, *_ = world_clips(worlds, store, standing, *SIZE, NoDepth(), nothing)
    assert torch.equal(still[0], frames[0, :1].expand_as(frames[0]))  # without times nothing moves


def test_pictures_of_a_moving_world_have_noise_of_their_own_and_the_frames_to_imagine_none(few_textures):
    worlds, store = moving_batch(few_textures["train"]), few_textures["train"].to("cpu")
    standing = torch.eye(4).repeat(2, 1, 3, 1, 1)
    times = torch.tensor([[0.0, 1.0, 2.0]]).repeat(2, 1)
    nothing = torch.zeros(2, dtype=torch.bool)
    plain, *_ = world_clips(worlds, store, standing, *SIZE, NoDepth(), nothing, times=times)
    torch.manual_seed(0)
    frames, warped, _ = world_clips(worlds, store, standing, *SIZE, NoDepth(), nothing, looks(read=0.05), times=times)
    noise = warped[0] - plain[0]
    assert (noise.flatten(1).std(dim=1) > 0.01).all()
    corner = noise[:, :, :8, :8].flatten(1)  # where nothing moves
    assert torch.corrcoef(corner).triu(1).abs().max() < 0.5
    assert torch.equal(frames[:, 0], warped[:, 0]) and torch.allclose(frames[:, 1:], plain[:, 1:], atol=2e-3)


def test_caches_of_still_and_moving_worlds_are_those_of_the_finished_road(few_textures):
    worlds, store = moving_batch(few_textures["train"], still=2), few_textures["train"].to("cpu")
    torch.manual_seed(1)
    paths = PathBank(3, CPU, 0, 4).draw(2, 2)
    times = torch.tensor([[0.0, 1.0, 2.0]]).repeat(2, 1)
    nothing = torch.zeros(2, dtype=torch.bool)
    frames, warped, mask = world_clips(worlds, store, paths, *SIZE, NoDepth(), nothing, times=times)
    clip = film(worlds, store, paths, *SIZE, times)
    pictures, depth = film_standing(worlds, store, torch.tensor([0]), times[:1], clip.scale[:1], *SIZE)
    trajectories = [
        [Trajectory("some", Cameras(path, clip.K[world].expand(3, 3, 3), *SIZE)) for path in paths[world]]
        for world in range(2)
    ]
    standing = Cameras(torch.eye(4).repeat(3, 1, 1), clip.K[0].expand(3, 3, 3), *SIZE)
    moving = Views(Frames(pictures[0]), depth[0], torch.ones_like(depth[0], dtype=torch.bool), standing)
    edges = [edge_gaussians(moving, number) for number in range(3)]
    whole = torch.ones(1, *SIZE, dtype=torch.bool)
    still = Views(
        Frames(frames[2, :1]), clip.depth[1, 0, :1], whole, replace(standing, K=clip.K[1:].expand(3, 3, 3))[0]
    )
    expected = [draw_edges(warp_moving(moving, path), *edges) for path in trajectories[0]]
    expected += warp_along(still, trajectories[1])
    assert (warped - torch.stack([cache.warped for cache in expected])).abs().max() < 1e-5
    assert torch.equal(mask, torch.stack([cache.mask for cache in expected]))
    splatted = [warp_moving(moving, path) for path in trajectories[0]] + [warp(still, path) for path in trajectories[1]]
    drawn = (warped - torch.stack([cache.warped for cache in splatted])).abs()
    assert drawn[:2].max() > 0.02 and drawn[2:].max() > 0.02
