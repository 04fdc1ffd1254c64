"""Points are followed where they go, and cameras are found from them."""

import math

import pytest
import torch
from torch.nn import functional as F

from lyra.geometry import compose, invert_rigid, rigid
from lyra.geometry.bundle import bundle, camera_errors, pose_from_points, rotation_from_vector
from lyra.geometry.handheld import handheld_c2w
from lyra.geometry.tracking import find_corners, follow

K = torch.tensor([[200.0, 0, 112], [0, 200.0, 64], [0, 0, 1]], dtype=torch.float64)


def texture(seed: int = 0, height: int = 160, width: int = 260) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    noise = torch.rand(1, 3, height // 5, width // 5, generator=generator)
    return F.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)[0].clamp(0, 1)


def test_points_follow_a_picture_that_slides_by_fractions_of_pixels():
    picture, shifts = texture(), torch.tensor([[0.0, 0.0], [1.3, -0.6], [4.1, -2.2], [9.7, -3.0]])
    rows, columns = torch.meshgrid(torch.arange(96) + 30.0, torch.arange(160) + 40.0, indexing="ij")
    frames = []
    for x, y in shifts.tolist():
        grid = torch.stack([(columns - x + 0.5) / 130 - 1, (rows - y + 0.5) / 80 - 1], dim=-1)[None]
        frames.append(F.grid_sample(picture[None], grid, align_corners=False)[0])
    tracks = follow(torch.stack(frames), (0, 3), count=60)
    assert tracks.points.shape[1] > 60 and set(tracks.home.tolist()) == {0, 3}
    whole = tracks.seen.all(dim=0)
    assert whole.float().mean() > 0.6
    moved = tracks.points[:, whole] - tracks.points[:1, whole]
    error = (moved - shifts[:, None]).norm(dim=-1)
    assert float(error.median()) < 0.05 and float(error.quantile(0.95)) < 0.3


def test_corners_are_spread_and_flat_pictures_have_none():
    corners = find_corners(texture(), count=400, cell=16)
    cells = (corners / 16).floor()
    assert len(corners) > 100 and len(torch.unique(cells, dim=0)) == len(corners)
    assert len(find_corners(torch.full((3, 64, 96), 0.5))) == 0


def cloud(count: int, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    """Points before the first camera, and the pixels they came from."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(count, 2, generator=generator, dtype=torch.float64) * torch.tensor([224.0, 128.0])
    depth = 0.6 + 1.5 * torch.rand(count, generator=generator, dtype=torch.float64)
    return torch.stack([(pixels[:, 0] - 112) / 200 * depth, (pixels[:, 1] - 64) / 200 * depth, depth], dim=1), depth


def seen_by(points: torch.Tensor, w2c: torch.Tensor) -> torch.Tensor:
    local = points @ w2c[:, :3, :3].mT + w2c[:, None, :3, 3]
    return torch.stack([200 * local[..., 0] / local[..., 2] + 112, 200 * local[..., 1] / local[..., 2] + 64], dim=-1)


def test_a_pose_is_found_though_two_fifths_of_the_points_are_wrong():
    points, _ = cloud(100)
    truth = rigid(
        rotation_from_vector(torch.tensor([0.05, -0.1, 0.03]).double()), torch.tensor([0.1, 0.05, -0.2]).double()
    )
    pixels = seen_by(points, truth[None])[0]
    pixels[:40] += 30 * torch.randn(40, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    generator = torch.Generator().manual_seed(2)
    pose, fits = pose_from_points(points, pixels, K, torch.eye(4, dtype=torch.float64), generator)
    assert torch.allclose(pose, truth, atol=1e-3)
    assert fits[40:].all() and fits[:40].float().mean() < 0.2


def test_bundling_corrects_depth_that_is_wrong_by_a_fifth_and_leaves_out_what_moves():
    points, depth = cloud(150, seed=3)
    generator = torch.Generator().manual_seed(4)
    truth = handheld_c2w(6, 0.3, 10, generator).double()
    w2c = invert_rigid(truth)
    pixels = seen_by(points, w2c)
    drift = torch.linspace(0, 12, 6, dtype=torch.float64)[:, None, None] * torch.tensor(
        [1.0, -0.5], dtype=torch.float64
    )
    pixels[:, :25] += drift  # a sixth of the points belongs to something that moves
    rough = depth * torch.exp(0.2 * torch.randn(150, generator=generator, dtype=torch.float64))
    start = points / depth[:, None] * rough[:, None]
    guess = compose(rigid(rotation_from_vector(torch.tensor([0.0, 0.01, 0]).double()), torch.zeros(3).double()), w2c)
    guess[0] = torch.eye(4)
    home = torch.zeros(150, dtype=torch.long)
    seen = torch.ones(6, 150, dtype=torch.bool)
    result = bundle(start, pixels, seen, home, rough, K, guess, rounds=30)
    turn, way = camera_errors(invert_rigid(result.w2c), truth)
    assert float(turn.max()) < 0.1 and float(way.max()) < 1.0
    assert result.error < 0.1 and result.fits[:, 25:].float().mean() > 0.97
    ratio = result.points[25:, 2] / depth[25:]
    assert float(ratio.log().std()) < 0.02, "of the scale only the median of the depth knows"


def test_camera_errors_are_angles():
    truth = torch.eye(4).repeat(3, 1, 1)
    truth[1:, 0, 3] = torch.tensor([1.0, 2.0])
    own = truth.clone()
    own[2, :3, :3] = rotation_from_vector(torch.tensor([0.0, math.radians(30), 0]))
    own[2, :3, 3] = torch.tensor([5.0, 5.0, 0.0])
    turn, way = camera_errors(own, truth)
    assert turn.tolist() == pytest.approx([0, 30], abs=0.01) and way.tolist() == pytest.approx([0, 45], abs=0.01)
    truth[1, 0, 3] = 1e-6
    assert math.isnan(camera_errors(own, truth)[1][0]), "a camera that did not move has no direction"


def test_carried_cameras_are_rigid_begin_at_the_identity_and_follow_their_seed():
    path = handheld_c2w(17, 0.25, 8, torch.Generator().manual_seed(5))
    again = handheld_c2w(17, 0.25, 8, torch.Generator().manual_seed(5))
    assert torch.equal(path, again) and torch.allclose(path[0], torch.eye(4), atol=1e-6)
    assert torch.allclose(path[:, :3, :3] @ path[:, :3, :3].mT, torch.eye(3).expand(17, 3, 3), atol=1e-5)
    assert 0.05 < float(path[-1, :3, 3].norm()) < 0.5
