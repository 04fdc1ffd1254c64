"""Camera rays in both precisions, Plücker maps and camera paths against plain implementations of their description."""

import math
import random

import numpy as np
import pytest
import torch

from lyra.geometry import OFFICIAL_TRAJECTORIES, camera_rays, look_at, plucker_rays, trajectory_c2w
from lyra.models.decoder.rays import grid_rays, relative_to_first_pose


def half(x):
    """Round to bfloat16, ties to even."""
    bits = np.asarray(x, np.float32).view(np.uint32).astype(np.uint64)
    rounded = (bits + 0x7FFF + ((bits >> 16) & 1)) & 0xFFFF0000
    return rounded.astype(np.uint32).view(np.float32)


def plain_rays(c2w, K, height, width, cast):
    """One pixel after the other; every result passes through ``cast``."""
    fx, fy, cx, cy = (cast(K[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    R, o = cast(c2w[:3, :3]), cast(c2w[:3, 3])
    d, m = np.zeros((height, width, 3)), np.zeros((height, width, 3))
    for row in range(height):
        for column in range(width):
            x = cast(cast(cast(column + 0.5) - cx) / fx)
            y = cast(cast(cast(row + 0.5) - cy) / fy)
            local = np.array([x, y, 1.0])
            local = cast(local / cast(math.sqrt((local**2).sum())))
            d[row, column] = ray = cast(R.astype(np.float64) @ local)
            for i, (j, k) in enumerate(((1, 2), (2, 0), (0, 1))):
                m[row, column, i] = cast(cast(o[j] * ray[k]) - cast(o[k] * ray[j]))
    return o, d, m


def camera():
    c2w = look_at(torch.tensor([0.35, -0.21, 0.4]), torch.tensor([0.1, 0.3, 5.0]))
    return c2w, torch.tensor([[61.0, 0, 21.7], [0, 57.3, 13.2], [0, 0, 1]])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_rays_and_moments(precision):
    c2w, K = camera()
    cast = half if precision == "bfloat16" else lambda x: np.asarray(x, np.float64)
    o, d, m = plain_rays(c2w.double().numpy(), K.double().numpy(), 24, 40, cast)
    dtype = getattr(torch, precision)
    origins, directions = camera_rays(c2w, K, 24, 40, dtype)
    plucker = plucker_rays(c2w, K, 24, 40, dtype)
    assert plucker.dtype == dtype and torch.equal(plucker[3:], directions)
    tolerance = 1e-6 if precision == "float32" else 1e-9
    np.testing.assert_allclose(origins[:, 3, 5].double().numpy(), o, atol=1e-7)
    found = directions.permute(1, 2, 0).double().numpy()
    # a sum that falls between two bfloat16 values can round either way
    assert (np.abs(found - d) <= tolerance).mean() > 0.999 and np.abs(found - d).max() < 0.005
    moments = plucker[:3].permute(1, 2, 0).double().numpy()
    assert (np.abs(moments - m) <= tolerance).mean() > (0.999 if precision == "float32" else 0.97)
    assert np.abs(moments - m).max() < (1e-6 if precision == "float32" else 0.01)


def test_rays_of_gaussians_divide_all_intrinsics_by_eight():
    c2w, K = camera()
    _, directions = grid_rays(c2w[None, None, None], K[None, None], 64, 80, 8)
    eighth = K.double().numpy() / 8
    eighth[2, 2] = 1
    _, expected, _ = plain_rays(c2w.double().numpy(), eighth, 8, 10, lambda x: np.asarray(x, np.float64))
    np.testing.assert_allclose(directions[0, 0, 0].permute(1, 2, 0).numpy(), expected, atol=1e-6)


def test_the_stated_error_of_bfloat16_rays():
    """1280 x 704, f = 1000: 0.062 degrees on average and 0.35 at most, norms 0.994…1.005."""
    K = torch.tensor([[1000.0, 0, 640], [0, 1000.0, 352], [0, 0, 1]])[None, None]
    pose = torch.eye(4)[None, None, None]
    clean, rough = (
        grid_rays(pose, K, 704, 1280, 8, dtype)[1].double()[0, 0, 0] for dtype in (torch.float32, torch.bfloat16)
    )
    norm = rough.norm(dim=0)
    cosine = (clean * rough).sum(0) / (clean.norm(dim=0) * norm)
    angle = torch.rad2deg(torch.arccos(cosine.clamp(max=1)))
    assert float(angle.mean()) == pytest.approx(0.062, abs=0.004)
    assert float(angle.max()) == pytest.approx(0.35, abs=0.03)
    assert float(norm.min()) == pytest.approx(0.994, abs=0.001) and float(norm.max()) == pytest.approx(1.005, abs=0.001)


def test_poses_relative_to_the_first_camera_of_the_first_view():
    poses = look_at(torch.rand(2, 3, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 0.2, 4.0]))
    relative = relative_to_first_pose(poses[None], poses[None])[0].double().numpy()
    first = np.linalg.inv(poses[0, 0].double().numpy())
    for view in range(2):
        for frame in range(3):
            np.testing.assert_allclose(relative[view, frame], first @ poses[view, frame].double().numpy(), atol=1e-5)


def plain_w2c(name, i, N, d, z, factors, circles, rotation):
    step, theta = i * d * z / N, 2 * math.pi * circles * i / (N - 1)
    rx, ry = d * factors[0], d * factors[1]
    turn = (rx * z * (math.cos(theta) - 1), ry * z * math.sin(theta), 0)
    p = {
        "left": (-step, 0, 0),
        "right": (step, 0, 0),
        "up": (0, -step, 0),
        "down": (0, step, 0),
        "zoom_out": (0, 0, -step),
        "zoom_in": (0, 0, step),
        "clockwise": turn,
        "counterclockwise": (-turn[0], turn[1], 0),
    }[name]
    p = np.array(p, float)
    target = np.array([0, 0, z]) + {"center_facing": 0, "no_rotation": 1, "trajectory_aligned": 2}[rotation] * p
    f = (target - p) / np.linalg.norm(target - p)
    r = np.cross([0, 1, 0], f)
    r /= np.linalg.norm(r)
    matrix = np.eye(4)
    matrix[:3] = np.column_stack([np.stack([r, np.cross(f, r), f]), -p])
    return matrix


@pytest.mark.parametrize("rotation", ["center_facing", "no_rotation", "trajectory_aligned"])
def test_all_paths_of_121_frames_around_a_moving_source(rotation):
    source = look_at(torch.tensor([0.2, 0.1, -0.3]), torch.tensor([0.5, 0.0, 4.0]))
    moving = source.repeat(121, 1, 1)
    moving[:, 0, 3] += torch.linspace(0, 0.4, 121)
    for name in ("left", "right", "up", "down", "zoom_out", "zoom_in", "clockwise", "counterclockwise"):
        for factors, circles in (((0.15, 0.10), 2), ((1.0, 1.0), 1)):
            ours = trajectory_c2w(name, 121, 0.4269, 1.3, moving, rotation, factors, circles)
            for i in (0, 1, 57, 119, 120):
                relative = plain_w2c(name, i, 121, 0.4269, 1.3, factors, circles, rotation)
                expected = relative @ np.linalg.inv(moving[i].double().numpy())
                np.testing.assert_allclose(np.linalg.inv(ours[i].double().numpy()), expected, atol=2e-5)


def test_fixed_strengths_are_those_of_the_published_seed():
    random.seed(1)
    fraction = random.random()
    for spec in OFFICIAL_TRAJECTORIES[1:]:
        assert spec.fixed == pytest.approx(spec.low + (spec.high - spec.low) * fraction, abs=1e-12)
