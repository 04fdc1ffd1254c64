"""Surfaces whose true depth is known, bent as a network bends them, and set right."""

import numpy as np
import pytest
import torch
from known_tilt import FOCAL, HEIGHT, NO_SKY, WIDTH, down, ground_and_wall, rays
from torch import Tensor

from lyra.geometry import upright
from lyra.geometry.upright import KEPT, MOST_ROUNDS, _solved, set_upright


def bent(depth: Tensor, by: float = 0.05, rows: float = 60.0) -> Tensor:
    """Depth that waves from top to bottom, as predictions of towers do."""
    y = torch.arange(HEIGHT)[:, None]
    return depth * (1 + by * torch.sin(2 * torch.pi * y / rows))


def error(depth: Tensor, truth: Tensor, where: Tensor) -> float:
    """Mean error of log depth up to a factor."""
    difference = (depth.log() - truth.log())[where]
    return (difference - difference.median()).abs().mean().item()


@pytest.mark.parametrize(("pitch", "roll"), [(0, 0), (10, 0), (10, 5), (-6, -4)])
def test_a_bent_wall_stands_up(pitch, roll):
    gravity = down(pitch, roll)
    truth = ground_and_wall(gravity, distance=3.0)
    wall = rays() @ gravity < 0.25
    seen = bent(truth)

    found = set_upright(seen, NO_SKY, gravity, FOCAL)

    assert error(seen, truth, wall) > 0.025
    assert error(found, truth, wall) < 0.15 * error(seen, truth, wall)


def test_a_wall_that_runs_away_stands_up_too():
    gravity = down(8)
    aside = torch.linalg.cross(gravity, torch.tensor([0.0, 0.0, 1.0]))
    towards = torch.nn.functional.normalize(aside + 0.8 * torch.tensor([0.0, gravity[2], gravity[1]]), dim=0)
    towards = towards - gravity * (towards @ gravity)
    truth = 2 / (rays() @ towards).abs().clamp(min=0.05)
    wall = (rays() @ towards > 0.3) & ((rays() @ gravity).abs() < 0.2)

    found = set_upright(bent(truth, by=0.03), NO_SKY, gravity, FOCAL)

    assert error(found, truth, wall) < 0.3 * error(bent(truth, by=0.03), truth, wall)


def test_waves_of_the_ground_become_level():
    gravity = down(20)
    truth = ground_and_wall(gravity, distance=100.0)
    ground = rays() @ gravity > 0.15
    seen = bent(truth, by=0.015, rows=50)

    found = set_upright(seen, NO_SKY, gravity, FOCAL)

    assert error(found, truth, ground) < 0.3 * error(seen, truth, ground)


def test_what_is_as_near_to_upright_as_to_level_keeps_its_slope(monkeypatch):
    monkeypatch.setattr(upright, "STEEPEST", 100.0)  # the place near the horizon is steep
    y = (torch.arange(HEIGHT - 1) + 1 - HEIGHT / 2).double()
    below = y > 14
    slope = torch.where(below, -0.52 / y, 0.0)  # the camera looks ahead: level ground has -1 / y
    depth = torch.cat([torch.zeros(1), slope.cumsum(dim=0)]).exp()[:, None].expand(HEIGHT, WIDTH).float().contiguous()

    found = set_upright(depth, NO_SKY, down(0), FOCAL)

    inner = torch.arange(HEIGHT) > HEIGHT // 2 + 20
    assert error(found, depth, inner[:, None].expand(HEIGHT, WIDTH)) < 0.005


def test_a_face_that_runs_far_back_runs_less_far_and_a_street_does_not():
    """A dome before a wall, steep at its rim, and the side of a street, as steep, but upright."""
    gravity = down(0)
    place = rays()
    radius = (place[..., 0].square() + (place[..., 1] + 0.1).square()).sqrt()
    dome = torch.where(radius < 0.16, (2.5 * radius.clamp(min=0.06)).exp(), torch.tensor(4.0))
    street = 0.3 / (place[..., 0].clamp(min=0.0) + 0.08)

    for depth, where, least, most in ((dome, radius < 0.14, 0.0, 0.85), (street, place[..., 0] > 0.05, 0.97, 1.03)):
        relief = [values[where].log().std() for values in (set_upright(depth, NO_SKY, gravity, FOCAL), depth)]
        assert least < relief[0] / relief[1] < most


def test_steps_stay_and_the_sky_keeps_its_depth():
    gravity = down(5)
    depth = ground_and_wall(gravity, distance=3.0)
    depth[30:70, 80:120] = 1.2
    sky = NO_SKY.clone()
    sky[:20] = True
    depth[sky] = 30.0
    seen = torch.where(sky, depth, bent(depth, by=0.02))

    found = set_upright(seen, sky, gravity, FOCAL)

    assert torch.equal(found[sky], seen[sky])
    step = found[50, 79] / found[50, 80], seen[50, 79] / seen[50, 80]
    assert step[0] == pytest.approx(step[1].item(), rel=0.03)
    bends = [values[32:68, 82:118].log().diff(dim=0).std() for values in (found, seen)]
    assert bends[0] < 0.05 * bends[1]


def test_what_is_right_already_hardly_changes():
    gravity = down(12, 2)
    truth = ground_and_wall(gravity, distance=3.0)

    assert (set_upright(truth, NO_SKY, gravity, FOCAL) / truth - 1).abs().max() < 0.01


def test_the_equation_is_solved():
    """Against dense least squares over all differences."""
    generator = np.random.default_rng(3)
    height, width = 7, 9
    weights = [generator.uniform(0.1, 1, shape) for shape in ((height - 1, width), (height, width - 1))]
    pulls = [generator.normal(0, 0.1, weight.shape) for weight in weights]
    index = np.arange(height * width).reshape(height, width)
    rows, wanted = [], []
    pairs = ((index[:-1], index[1:]), (index[:, :-1], index[:, 1:]))
    for (first, second), weight, pull in zip(pairs, weights, pulls, strict=True):
        for a, b, w, p in zip(*(values.ravel() for values in (first, second, weight, pull)), strict=True):
            row = np.zeros(height * width)
            row[a], row[b] = -np.sqrt(w), np.sqrt(w)
            rows.append(row)
            wanted.append(np.sqrt(w) * p)
    rows += list(np.sqrt(KEPT) * np.eye(height * width))
    wanted += [0.0] * (height * width)
    exact = np.linalg.lstsq(np.array(rows), np.array(wanted), rcond=None)[0].reshape(height, width)

    found = _solved(*(w * p for w, p in zip(weights, pulls, strict=True)), *weights, KEPT, 1e-8, MOST_ROUNDS)

    assert found == pytest.approx(exact, abs=1e-6)
