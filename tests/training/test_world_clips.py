"""Worlds through cameras: one look per world, a first frame that is a photograph, clean frames to imagine."""

from dataclasses import replace

import pytest
import torch

from lyra.training.device_data import PathBank
from lyra.training.world_clips import world_clips
from lyra.worlds import collate, film, sample_world
from lyra.worlds.photographic import develop, neutral_looks

CPU = torch.device("cpu")
SIZE = (32, 56)


class NoDepth:
    """Stands for a depth network that says 1 everywhere."""

    def infer(self, rgb):
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
