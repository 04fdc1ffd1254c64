import pickle
import random

import numpy as np
import pytest

from lyra.worlds import KINDS, collate, sample_world
from lyra.worlds.layout.builder import Builder, Material, muted
from lyra.worlds.layout.clearance import coarse_depth, has_room
from lyra.worlds.world import BOX, CENTRE, CYLINDER, ELLIPSOID, HALF, ROWS, SHAPES, TILE


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
        style = {"lake": "lake", "forest": "forest", "mountain": "mountain", "park": "park"}.get(kind, "")
        assert world.kind == ("landscape" if style else kind)
        assert not style or world.description.style == style
        words = world.caption.replace("table top", "tabletop")
        assert world.kind in words
        assert 10 <= len(world.primitives) <= 128
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


def test_no_camera_stands_in_something(textures):
    """Of all kinds, at the source and wherever the six paths lead: outside every solid, above the ground."""
    free = np.array([(0, 0, 0), (-0.3, 0, 0), (0.3, 0, 0), (0, -0.2, 0), (0, 0, -0.4), (0, 0, 0.4)])
    for kind in KINDS:
        for seed in range(4):
            world = sample_world(seed, "val", textures, kind)
            shapes = np.repeat(np.arange(SHAPES), world.counts)
            depth, _ = coarse_depth(world.primitives, shapes, world.source_c2w, world.fov)
            median = np.median(depth[np.isfinite(depth)])
            for place in (free * median) @ world.source_c2w[:3, :3].T + world.source_c2w[:3, 3]:
                assert place[1] < 0, f"{kind} {seed}: below the ground"
                for row, shape in zip(world.primitives, shapes, strict=True):
                    local = row[ROWS].reshape(3, 3) @ (place - row[CENTRE]) / row[HALF]
                    if shape == BOX:
                        assert np.abs(local).max() > 0.999, f"{kind} {seed}: inside a box"
                    elif shape == CYLINDER:
                        assert max(np.hypot(local[0], local[2]), abs(local[1])) > 0.999, f"{kind} {seed}: inside a tube"
                    elif shape >= ELLIPSOID:
                        assert np.linalg.norm(local) > 0.999, f"{kind} {seed}: inside a ball"


def test_a_room_without_room_is_noticed(textures):
    build = Builder(random.Random(0), textures.catalogue)
    build.floor(0, 0, 50, 50, Material(0, 1.0))
    build.box((0, 1.5, 6), (4, 2, 0.5), Material(0, 1.0))
    eye = np.eye(4, dtype=np.float32)
    eye[1, 3] = -1.5
    assert has_room(build.table(), eye, 1.0)
    build.box((1.3, 1.5, 0), (0.9, 0.3, 0.3), Material(0, 1.0))  # beside the camera, out of the picture
    assert not has_room(build.table(), eye, 1.0)
    low = eye.copy()
    low[1, 3] = -0.3
    high = Builder(random.Random(0), textures.catalogue)
    high.box((0, 5, 20), (30, 9, 0.5), Material(0, 1.0))
    assert not has_room(high.table(), low, 1.0)  # a path that dips by its share of 20 m would end below the ground
    low[1, 3] = -3.0
    assert has_room(high.table(), low, 1.0)


def test_vivid_colours_are_muted_and_browns_are_not():
    red = np.array([0.5, 0.02, 0.03], np.float32)
    shown = np.array(muted((1.0, 1.0, 1.0), red)) * red
    assert 1 - shown.min() / shown.max() == pytest.approx(0.65, abs=1e-4) and shown.argmax() == 0
    assert shown.mean() == pytest.approx(red.mean(), rel=1e-4)
    brown = np.array([0.3, 0.15, 0.05], np.float32)
    assert muted((1.0, 1.0, 1.0), brown) == (1.0, 1.0, 1.0)


def test_rods_reach_from_end_to_end_and_blocks_keep_right_angles(textures):
    build = Builder(random.Random(0), textures.catalogue)
    start, end = (1.0, 0.5, 2.0), (1.4, 2.0, 3.0)
    build.rod(start, end, 0.1, Material(0, 1.0), taper=0.5)
    build.block((0, 1, 0), (1, 2, 3), Material(0, 1.0), yaw=0.4, lean=0.3, roll=-0.7)
    table = build.table()
    box, rod = table.rows  # sorted by shape
    along = rod[ROWS].reshape(3, 3)[1]
    thick, thin = (rod[CENTRE] + sign * rod[HALF][1] * along for sign in (1, -1))
    assert np.allclose(thick, (start[0], -start[1], start[2]), atol=1e-5)
    assert np.allclose(thin, (end[0], -end[1], end[2]), atol=1e-5)
    axes = box[ROWS].reshape(3, 3)
    assert np.allclose(axes @ axes.T, np.eye(3), atol=1e-6) and np.linalg.det(axes) == pytest.approx(1)


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
