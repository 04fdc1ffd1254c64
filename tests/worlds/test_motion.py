"""Swings, sways, spins and travel: where things are at a time, and that filming shows them there."""

import math
import random

import numpy as np
import torch

from lyra.worlds import World, collate, film, sample_world
from lyra.worlds.description import Description
from lyra.worlds.layout.builder import Builder, Material, Point
from lyra.worlds.motion import frame_tables

HEIGHT, WIDTH = 32, 56


def world_of(build: Builder, light: np.ndarray) -> World:
    table = build.table()
    eye = np.eye(4, dtype=np.float32)
    eye[1, 3] = -1.0
    return World(0, "train", Description("room"), table.rows, table.counts, light, eye, 1.2, True)


def places(world: World, point: tuple[float, float, float], times: list[float]) -> torch.Tensor:
    """[T, 3] where a point of the first primitive, given in its local axes, is at each time (world axes)."""
    batch = collate([world], "cpu")
    tables = frame_tables(batch, torch.zeros(len(times), dtype=torch.long), torch.tensor(times))[:, 0]
    matrix, offset = tables[:, :9].unflatten(1, (3, 3)), tables[:, 9:12]
    return torch.linalg.solve(matrix, torch.tensor(point) - offset)


def test_a_door_swings_about_its_hinge(textures, light):
    build = Builder(random.Random(0), textures.catalogue)
    build.box((0.0, 1.0, 5.0), (0.5, 1.0, 0.02), Material(0, 1.0))
    build.swing(range(0, 1), (0.0, 1.0, 0.0), 0.5, 2.0, -math.pi / 2, (-0.5, 0.0, 5.0))
    world = world_of(build, light)
    times = [0.0, math.pi / 2, math.pi]  # shut, wide open (sin goes from -1 to 1), shut
    hinge, edge = places(world, (-1.0, 0.0, 0.0), times), places(world, (1.0, 0.0, 0.0), times)
    assert torch.allclose(hinge, hinge[:1].expand(3, 3), atol=1e-5)
    assert torch.allclose((edge - hinge).norm(dim=1), torch.ones(3), atol=1e-5)
    turned = math.acos(float((edge[1] - hinge[1]) @ (edge[0] - hinge[0])))
    assert abs(turned - 1.0) < 1e-4  # twice the amplitude
    assert torch.allclose(edge[2], edge[0], atol=1e-5)


def test_an_arm_swings_while_its_body_travels_and_turns(textures, light):
    """Swing first, then spin about the vertical, then travel: the arm stays on the shoulder."""
    build = Builder(random.Random(0), textures.catalogue)
    shoulder: Point = (0.2, 1.4, 4.0)
    build.rod(shoulder, (0.2, 0.8, 4.0), 0.05, Material(0, 1.0))
    build.swing(range(0, 1), (1.0, 0.0, 0.0), 0.4, 3.0, 0.7, (0.2, -1.4, 4.0))
    build.move(0, (1.0, 0.0, 0.0), 0.5, (0.0, 0.0, 4.0))
    times = [0.0, 0.4, 1.3]
    found = places(world_of(build, light), (0.0, 1.0, 0.0), times)  # local +y is where the rod starts
    for place, t in zip(found, times, strict=True):
        c, s = math.cos(0.5 * t), math.sin(0.5 * t)
        expected = torch.tensor([0.2 * c + t, -1.4, 4.0 - 0.2 * s])
        assert torch.allclose(place, expected, atol=1e-5)
    hand = places(world_of(build, light), (0.0, -1.0, 0.0), times)
    assert torch.allclose((hand - found).norm(dim=1), torch.full((3,), 0.6), atol=1e-5)
    assert (hand[1] - found[1])[2].abs() > 0.05  # it has swung forwards or backwards


def test_a_boat_sways_by_sines(textures, light):
    build = Builder(random.Random(0), textures.catalogue)
    build.ball((0.0, 1.0, 5.0), (0.5, 0.5, 0.5), Material(0, 1.0))
    build.swing(range(0, 1), (0.0, 0.0, 0.0), 0.0, 2.0, 0.3, (0.0, 0.0, 0.0), sway=(0.0, 0.2, 0.0))
    times = [0.0, 0.5, 1.0]
    heights = places(world_of(build, light), (0.0, 0.0, 0.0), times)[:, 1]
    expected = [-1.0 + 0.2 * (math.sin(2.0 * t + 0.3) - math.sin(0.3)) for t in times]
    assert torch.allclose(heights, torch.tensor(expected), atol=1e-5)


def test_time_zero_is_the_world_at_rest(textures, light):
    build = Builder(random.Random(0), textures.catalogue)
    build.box((0.3, 1.0, 5.0), (0.5, 1.0, 0.02), Material(0, 1.0))
    build.swing(range(0, 1), (0.0, 1.0, 0.0), 0.7, 2.0, 1.1, (-0.5, 0.0, 5.0), sway=(0.1, 0.2, 0.3))
    build.move(0, (1.0, 2.0, 3.0), 0.4, (0.0, 0.0, 4.0))
    batch, index = collate([world_of(build, light)], "cpu"), torch.zeros(1, dtype=torch.long)
    assert torch.allclose(frame_tables(batch, index, None), frame_tables(batch, index, torch.zeros(1)), atol=1e-6)


def test_film_shows_depth_of_the_moment_from_a_moving_camera(textures, store, light):
    """A ball comes nearer by 0.5 m/s while the camera retreats by 0.25 m/s: the depth in the middle tells."""
    build = Builder(random.Random(0), textures.catalogue)
    build.upright((0.0, 1.0, 8.0), 20, 20, math.pi, Material(0, 1.0))
    build.ball((0.0, 1.0, 4.0), (1.0, 1.0, 1.0), Material(0, 1.0))
    build.move(1, (0.0, 0.0, -0.5), 0.0, (0.0, 0.0, 0.0))
    batch = collate([world_of(build, light)], "cpu")
    times = torch.tensor([0.0, 1.0, 2.0])
    c2w = torch.eye(4).repeat(1, 1, 3, 1, 1)
    still = film(batch, store, c2w, HEIGHT, WIDTH, times)
    c2w[0, 0, :, 2, 3] = -0.25 * times / still.scale
    moving = film(batch, store, c2w, HEIGHT, WIDTH, times)
    frozen = film(batch, store, c2w, HEIGHT, WIDTH, torch.zeros(3))

    def middle(clip):
        return clip.depth[0, 0, :, HEIGHT // 2, WIDTH // 2] * clip.scale

    assert torch.allclose(middle(still), 3.0 - 0.5 * times, atol=0.01)
    assert torch.allclose(middle(moving), 3.0 - 0.25 * times, atol=0.01)
    assert torch.allclose(middle(frozen), 3.0 + 0.25 * times, atol=0.01)


def test_walkers_keep_their_limbs_together(textures):
    """Wherever a person walks, every part stays within reach of the body."""
    seen = 0
    for seed in range(60):
        world = sample_world(seed, "train", textures, "street")
        if world.description.moving != "person":
            continue
        batch = collate([world], "cpu")
        still = batch.primitives[0, :, 18].abs() + batch.primitives[0, :, 15:18].abs().sum(1)
        parts = (still > 0).nonzero()[:, 0]
        tables = frame_tables(batch, torch.zeros(5, dtype=torch.long), torch.linspace(0, 3, 5))
        centres = tables[:, parts, 12:15]
        reach = (centres - centres.mean(dim=1, keepdim=True)).norm(dim=-1)
        assert len(parts) >= 10 and reach.max() < 1.3
        assert (centres[-1].mean(0) - centres[0].mean(0)).norm() > 0.5
        seen += 1
    assert seen >= 3
