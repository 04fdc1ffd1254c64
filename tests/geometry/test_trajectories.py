import math

import numpy as np
import pytest
import torch

from lyra.geometry import OFFICIAL_TRAJECTORIES, intrinsics_from_fov, look_at, plan_six, require_rigid, trajectory_c2w
from lyra.structures import Cameras

FRAMES, STRENGTH, CENTRE = 5, 0.3, 2.0


def published_w2c(offset: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Rows right, up-cross, forward; the translation is the negated offset itself."""
    forward = (target - offset) / np.linalg.norm(target - offset)
    right = np.cross([0.0, 1.0, 0.0], forward)
    right /= np.linalg.norm(right)
    matrix = np.eye(4)
    matrix[:3, :3] = np.stack([right, np.cross(forward, right), forward])
    matrix[:3, 3] = -offset
    return matrix


def offset(name: str, i: int, radii: tuple[float, float] = (0.15, 0.10), circles: float = 2) -> np.ndarray:
    step = i * STRENGTH * CENTRE / FRAMES
    angle = 2 * math.pi * circles * i / (FRAMES - 1)
    x, y = radii[0] * STRENGTH * CENTRE * (math.cos(angle) - 1), radii[1] * STRENGTH * CENTRE * math.sin(angle)
    return np.array(
        {
            "left": (-step, 0, 0),
            "right": (step, 0, 0),
            "up": (0, -step, 0),
            "down": (0, step, 0),
            "zoom_out": (0, 0, -step),
            "zoom_in": (0, 0, step),
            "clockwise": (x, y, 0),
            "counterclockwise": (-x, y, 0),
        }[name],
        dtype=float,
    )


@pytest.mark.parametrize(
    "name", ["left", "right", "up", "down", "zoom_out", "zoom_in", "clockwise", "counterclockwise"]
)
@pytest.mark.parametrize("rotation", ["center_facing", "no_rotation", "trajectory_aligned"])
def test_every_path_follows_the_published_formula(name, rotation):
    c2w = trajectory_c2w(name, FRAMES, STRENGTH, CENTRE, rotation=rotation)
    assert c2w.dtype == torch.float32
    shift = {"center_facing": 0.0, "no_rotation": 1.0, "trajectory_aligned": 2.0}[rotation]
    for i in range(FRAMES):
        p = offset(name, i)
        w2c = published_w2c(p, np.array([0, 0, CENTRE]) + shift * p)
        np.testing.assert_allclose(np.linalg.inv(w2c), c2w[i].double().numpy(), atol=2e-6)


def test_the_true_camera_centre_is_the_turned_offset_because_the_translation_is_minus_p():
    c2w = trajectory_c2w("left", FRAMES, STRENGTH, CENTRE)[-1].double()
    p = torch.from_numpy(offset("left", FRAMES - 1))
    assert torch.allclose(c2w[:3, 3], c2w[:3, :3] @ p, atol=1e-6)
    assert (c2w[:3, 3] - p).norm() > 0.05


def test_linear_paths_stop_one_step_short_and_circles_close():
    assert trajectory_c2w("zoom_in", 4, 1.0)[-1, 2, 3] == pytest.approx(0.75)
    circle = trajectory_c2w("clockwise", 9, 0.5)
    assert torch.allclose(circle[0], torch.eye(4), atol=1e-6)
    assert torch.allclose(circle[-1], torch.eye(4), atol=1e-5)


def test_circles_take_their_own_radii_and_turns():
    c2w = trajectory_c2w("clockwise", FRAMES, STRENGTH, CENTRE, radius_factors=(1.0, 1.0), circles=1.0)
    p = offset("clockwise", 1, (1.0, 1.0), 1.0)
    np.testing.assert_allclose(np.linalg.inv(published_w2c(p, np.array([0, 0, CENTRE]))), c2w[1].double(), atol=2e-6)


def test_strengths_and_depths_batch():
    strength, centre = torch.tensor([[0.2, 0.3], [0.1, 0.5]]), torch.tensor([1.0, 2.0])
    batch = trajectory_c2w("up", 6, strength, centre)
    assert batch.shape == (2, 2, 6, 4, 4)
    for i in range(2):
        for j in range(2):
            one = trajectory_c2w("up", 6, strength[i, j].item(), centre[j].item())
            assert torch.allclose(batch[i, j], one, atol=1e-6)


def test_paths_start_at_the_source_camera_and_follow_a_moving_one():
    source = look_at(torch.tensor([0.4, 0.1, -0.3]), torch.tensor([0.0, 0.0, 3.0]))
    relative = trajectory_c2w("right", 6, 0.3)
    placed = trajectory_c2w("right", 6, 0.3, source_c2w=source)
    assert torch.allclose(placed, source @ relative, atol=1e-6)
    moving = look_at(torch.randn(6, 3, generator=torch.Generator().manual_seed(0)), torch.tensor([0.0, 0.0, 5.0]))
    followed = trajectory_c2w("right", 6, 0.3, source_c2w=moving)
    assert torch.allclose(followed, moving @ relative, atol=1e-6)


def source_camera() -> Cameras:
    pose = look_at(torch.tensor([[0.1, 0.2, 0.0]]), torch.tensor([[0.0, 0.0, 2.0]]))
    return Cameras(pose, intrinsics_from_fov(1.0, 32, 56)[None], 32, 56)


def test_the_six_paths_have_the_published_order_intervals_and_fixed_strengths():
    assert [(s.name, s.low, s.high) for s in OFFICIAL_TRAJECTORIES] == [
        ("left", 0.2, 0.3),
        ("right", 0.2, 0.3),
        ("up", 0.1, 0.2),
        ("zoom_out", 0.3, 0.4),
        ("zoom_in", 0.3, 0.4),
        ("clockwise", 0.4, 0.6),
    ]
    planned = plan_six(17, source_camera())
    expected = [0.25, 0.2134, 0.1134, 0.3134, 0.3134, 0.4269]
    assert [t.strength for t in planned] == pytest.approx(expected, abs=1e-4)
    for spec, trajectory in zip(OFFICIAL_TRAJECTORIES, planned, strict=True):
        assert trajectory.name == spec.name
        assert len(trajectory.cameras) == 17
        assert torch.allclose(trajectory.cameras.c2w[0], source_camera().c2w[0], atol=1e-6)
        require_rigid(trajectory.cameras.c2w, spec.name)


def test_drawn_strengths_lie_in_their_intervals_repeat_with_the_seed_and_scale_with_the_factor():
    first, again, other = (
        [t.strength for t in plan_six(3, source_camera(), generator=torch.Generator().manual_seed(seed))]
        for seed in (0, 0, 1)
    )
    assert first == again != other
    assert all(s.low <= d <= s.high for s, d in zip(OFFICIAL_TRAJECTORIES, first, strict=True))
    doubled = plan_six(3, source_camera(), factor=2.0)
    assert [t.strength for t in doubled] == pytest.approx([2 * t.strength for t in plan_six(3, source_camera())])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="unknown path 'sideways'"):
        trajectory_c2w("sideways", 4, 0.1)
    with pytest.raises(ValueError, match="rotation"):
        trajectory_c2w("left", 4, 0.1, rotation="spin")
    with pytest.raises(ValueError, match="at least 1"):
        trajectory_c2w("left", 0, 0.1)
