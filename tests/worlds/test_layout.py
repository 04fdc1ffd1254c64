import pickle

import numpy as np
import pytest

from lyra.worlds import KINDS, collate, sample_world
from lyra.worlds.layout.clearance import coarse_depth
from lyra.worlds.world import CENTRE, HALF, ROWS, SHAPES, TILE


def test_a_seed_is_a_world(textures):
    first, again = sample_world(3, "train", textures), sample_world(3, "train", textures.catalogue)
    assert np.array_equal(first.primitives, again.primitives) and np.array_equal(first.light, again.light)
    assert first.caption == again.caption and first.fov == again.fov
    other = sample_world(4, "train", textures)
    assert other.primitives.shape != first.primitives.shape or not np.allclose(other.primitives, first.primitives)


def test_splits_have_their_own_seeds(textures):
    captions = {
        split: [sample_world(seed, split, textures).fov for seed in range(5)] for split in ("train", "val", "test")
    }
    assert not set(captions["train"]) & set(captions["val"])
    assert not set(captions["train"]) & set(captions["test"])
    assert not set(captions["val"]) & set(captions["test"])


@pytest.mark.parametrize("kind", KINDS)
def test_worlds_of_every_kind(textures, kind):
    for seed in range(6):
        world = sample_world(seed, "train", textures, kind)
        assert world.kind == kind
        words = world.caption.replace("table top", "tabletop")
        assert kind in words
        assert 10 <= len(world.primitives) <= 130
        assert world.counts.sum() == len(world.primitives) and len(world.counts) == SHAPES
        assert np.isfinite(world.primitives).all() and np.isfinite(world.light).all()
        rows = world.primitives[:, ROWS].reshape(-1, 3, 3)
        assert np.allclose(rows @ rows.transpose(0, 2, 1), np.eye(3), atol=1e-5)
        assert (world.primitives[:, HALF] > 0).all()
        tiles = world.primitives[:, TILE]
        assert tiles.min() >= 0 and tiles.max() < len(textures)
        rotation = world.source_c2w[:3, :3]
        assert np.allclose(rotation @ rotation.T, np.eye(3), atol=1e-5) and np.linalg.det(rotation) > 0.99
        assert np.radians(35) < world.fov < np.radians(90)


def test_the_camera_has_room(textures):
    for seed in range(25):
        world = sample_world(seed, "train", textures)
        shapes = np.repeat(np.arange(SHAPES), world.counts)
        depth, _ = coarse_depth(world.primitives, shapes, world.source_c2w, world.fov)
        finite = depth[np.isfinite(depth)]
        assert len(finite) > 40
        assert finite.min() > 0.15 * np.median(finite), f"seed {seed} ({world.kind})"


def test_worlds_travel_between_processes_and_stack(textures):
    worlds = [pickle.loads(pickle.dumps(sample_world(seed, "train", textures))) for seed in range(3)]
    batch = collate(worlds, "cpu")
    longest = max(len(world.primitives) for world in worlds)
    assert batch.primitives.shape[:2] == (3, longest)
    assert batch.starts[:, -1].tolist() == [len(world.primitives) for world in worlds]
    for row, world in zip(batch.primitives, worlds, strict=True):
        assert np.array_equal(row[: len(world.primitives), CENTRE].numpy(), world.primitives[:, CENTRE])


def test_bad_requests_are_refused(textures):
    with pytest.raises(ValueError, match="kind"):
        sample_world(0, "train", textures, "castle")
    with pytest.raises(ValueError, match="split"):
        sample_world(0, "all", textures)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="at least one"):
        collate([], "cpu")
