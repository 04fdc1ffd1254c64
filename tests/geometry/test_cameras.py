import math

import pytest
import torch

from lyra.geometry import (
    compose,
    intrinsics_from_fov,
    invert_intrinsics,
    invert_rigid,
    look_at,
    require_rigid,
    transform_points,
)
from lyra.structures import InputError


def random_poses(*shape: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    q, _ = torch.linalg.qr(torch.randn(*shape, 3, 3, generator=generator, dtype=torch.float64))
    q[..., 0] *= torch.linalg.det(q)[..., None]
    poses = torch.eye(4, dtype=torch.float64).repeat(*shape, 1, 1)
    poses[..., :3, :3] = q
    poses[..., :3, 3] = torch.randn(*shape, 3, generator=generator, dtype=torch.float64)
    return poses


def test_the_edge_of_the_picture_lies_at_half_the_field_of_view():
    fov = torch.tensor([[0.7, 1.2]], dtype=torch.float64)
    K = intrinsics_from_fov(fov, 256, 448)
    left = (0 - K[..., 0, 2]) / K[..., 0, 0]
    assert torch.allclose(torch.atan(-left), fov / 2)
    assert torch.equal(K[..., 0, 0], K[..., 1, 1])
    assert torch.equal(K[..., 1, 2], torch.full((1, 2), 128.0, dtype=torch.float64))
    assert intrinsics_from_fov(math.pi / 2, 10, 20)[0, 0].item() == pytest.approx(10.0)


def test_inverses_agree_with_the_general_inverse():
    poses = random_poses(3, 2)
    assert torch.allclose(invert_rigid(poses), torch.linalg.inv(poses))
    K = torch.tensor([[300.0, 2.0, 111.0], [0.0, 280.0, 70.0], [0.0, 0.0, 1.0]], dtype=torch.float64).expand(2, 3, 3)
    assert torch.allclose(invert_intrinsics(K), torch.linalg.inv(K))


def test_compose_and_transform_are_matrix_products_even_under_autocast():
    poses = random_poses(2, 5).float()
    points = torch.randn(5, 7, 3)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        composed, moved = compose(poses[0], poses[1]), transform_points(points, poses[0])
    assert torch.allclose(composed, poses[0] @ poses[1], atol=1e-6)
    homogeneous = torch.cat([points, torch.ones(5, 7, 1)], dim=-1)
    assert torch.allclose(moved, (homogeneous @ poses[0].mT)[..., :3], atol=1e-6)


def test_look_at_puts_the_target_on_the_axis_with_up_above():
    generator = torch.Generator().manual_seed(1)
    eye, target = torch.randn(2, 6, 3, generator=generator)
    c2w = look_at(eye, target)
    require_rigid(c2w, "test")
    in_camera = transform_points(target[:, None], invert_rigid(c2w))[:, 0]
    assert torch.allclose(in_camera[:, :2], torch.zeros(6, 2), atol=1e-5)
    assert torch.allclose(in_camera[:, 2], (target - eye).norm(dim=1), atol=1e-5)
    above = transform_points((target + torch.tensor([0.0, -0.1, 0.0]))[:, None], invert_rigid(c2w))[:, 0]
    assert (above[:, 1] < 0).all()
    assert torch.allclose(above[:, 0], torch.zeros(6), atol=1e-5)


def test_look_at_from_the_origin_along_z_is_the_identity_and_straight_down_is_still_rigid():
    assert torch.allclose(look_at(torch.zeros(3), torch.tensor([0.0, 0.0, 4.0])), torch.eye(4))
    require_rigid(look_at(torch.zeros(2, 3), torch.tensor([[0.0, 2.0, 0.0], [0.0, -2.0, 0.0]])), "test")


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda m: m.__setitem__((1, 0, 0), math.nan), "not finite"),
        (lambda m: m.__setitem__((1, 2, 3), math.inf), "not finite"),
        (lambda m: m[1, :3, 0].neg_(), "mirrored"),
        (lambda m: m[1, :3, :3].mul_(1.1), "scaled by 1.1"),
        (lambda m: m[1, :3, 0].zero_(), "singular"),
        (lambda m: m[1, :3, :3].zero_(), "singular"),
        (lambda m: m[1, :3, 0].mul_(1.5), "sheared"),
        (lambda m: m[1].copy_(m[1].T.clone()), "last row"),
    ],
)
def test_each_kind_of_broken_pose_is_named_with_its_frame(spoil, reason):
    poses = random_poses(3)
    require_rigid(poses, "path.json")
    spoil(poses)
    with pytest.raises(InputError, match=rf"path\.json: the pose of frame 1 .*{reason}"):
        require_rigid(poses, "path.json")


def test_poses_printed_with_four_decimals_are_rigid_enough():
    require_rigid(random_poses(20).mul(1e4).round() / 1e4, "rounded")
