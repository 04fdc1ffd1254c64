"""Worlds of things in no order: only for those who ask, whole, and full of depth."""

import numpy as np
import pytest

from lyra.worlds import ABSTRACT, KINDS, collate, film_source, sample_world
from lyra.worlds.layout.clearance import coarse_depth
from lyra.worlds.world import BOX, CYLINDER, ELLIPSOID, HALF, ROWS, SHAPES, TILE


@pytest.fixture(scope="module")
def assemblies(textures):
    return [sample_world(seed, "train", textures, ABSTRACT) for seed in range(40)]


def test_they_are_whole(assemblies, textures):
    for world in assemblies:
        assert np.isfinite(world.primitives).all() and np.isfinite(world.light).all()
        rows = world.primitives[:, ROWS].reshape(-1, 3, 3)
        assert np.allclose(rows @ rows.transpose(0, 2, 1), np.eye(3), atol=1e-5)
        assert (world.primitives[:, HALF] > 0).all() and len(world.primitives) <= 128
        assert world.primitives[:, TILE].min() >= 0 and world.primitives[:, TILE].max() < len(textures)
        assert np.radians(25) <= world.fov <= np.radians(85)


def test_the_camera_stands_free(assemblies):
    for world in assemblies:
        shapes = np.repeat(np.arange(SHAPES), world.counts)
        depth, _ = coarse_depth(world.primitives, shapes, world.source_c2w, world.fov)
        finite = depth[np.isfinite(depth)]
        assert finite.min() > 0.15 * np.median(finite), f"seed {world.seed}"


def test_they_hold_every_solid_and_many_depths(assemblies, textures):
    counts = np.sum([world.counts for world in assemblies], axis=0)
    assert (counts[[BOX, CYLINDER, ELLIPSOID]] > 60).all()
    pictures = film_source(collate(assemblies[:12], "cpu"), textures.to("cpu"), 32, 56)
    steps = (pictures.depth.log().diff(dim=-1).abs() > 0.3).float().mean(dim=(1, 2))
    assert steps.median() > 0.02, "few edges between near and far"


def test_only_those_who_ask_get_them(textures):
    assert ABSTRACT not in KINDS
    drawn = sample_world(5, "test", textures)
    assert np.array_equal(drawn.primitives, sample_world(5, "test", textures, None).primitives)
    asked = sample_world(5, "test", textures, ABSTRACT)
    assert asked.primitives.shape != drawn.primitives.shape
    with pytest.raises(ValueError, match="kind 'heap' is not one of"):
        sample_world(5, "test", textures, "heap")
