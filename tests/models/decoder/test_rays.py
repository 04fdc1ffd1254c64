import math

import torch

from lyra.geometry.cameras import look_at
from lyra.geometry.quaternions import quaternion_from_rotation, quaternion_product
from lyra.models.decoder.rays import grid_rays, pooled_plucker, relative_to_first_pose


def cameras(batch=1, views=2, frames=9):
    generator = torch.Generator().manual_seed(0)
    c2w = look_at(torch.rand(batch, views, frames, 3, generator=generator), torch.tensor([0.3, 0.1, 5.0]))
    K = torch.tensor([[50.0, 0, 22], [0, 55.0, 17], [0, 0, 1]]).repeat(batch, views, 1, 1)
    return c2w, K


def pixel_ray(c2w, K, x, y):
    ray = torch.tensor([(x - K[0, 2]) / K[0, 0], (y - K[1, 2]) / K[1, 1], 1.0])
    return c2w[:3, :3] @ (ray / ray.norm())


def test_rays_of_cells_pass_through_the_cell_centres_of_the_full_picture():
    c2w, K = cameras()
    origins, directions = grid_rays(c2w, K, 32, 48, 8)
    assert directions.shape == (1, 2, 9, 3, 4, 6)
    expected = pixel_ray(c2w[0, 1, 4], K[0, 1], 8 * 5 + 4.0, 8 * 2 + 4.0)
    torch.testing.assert_close(directions[0, 1, 4, :, 2, 5], expected)
    torch.testing.assert_close(origins[0, 1, 4, :, 2, 5], c2w[0, 1, 4, :3, 3])


def test_pooled_maps_group_the_frames_of_a_latent_frame():
    c2w, K = cameras(frames=17)
    pooled = pooled_plucker(c2w, K, 32, 48)
    assert pooled.shape == (1, 2, 48, 3, 4, 6)

    def plucker(frame):
        direction = pixel_ray(c2w[0, 1, frame], K[0, 1], 8 * 3 + 4.0, 8 * 1 + 4.0)
        return torch.cat([torch.linalg.cross(c2w[0, 1, frame, :3, 3], direction), direction])

    for latent_frame, frames in ((0, [0] * 8), (1, range(1, 9)), (2, range(9, 17))):
        expected = torch.cat([plucker(frame) for frame in frames])
        torch.testing.assert_close(pooled[0, 1, :, latent_frame, 1, 3], expected)


def test_one_ray_per_cell_stands_for_the_mean_of_its_pixels():
    c2w, K = cameras()
    K = K * torch.tensor([4.0, 4.0, 1.0])[:, None]  # 128 x 192 pixels
    centre = pooled_plucker(c2w, K, 128, 192)[:, :, -6:, -1]
    origins, directions = grid_rays(c2w, K, 128, 192, 1)
    full = torch.cat([torch.linalg.cross(origins, directions, dim=3), directions], dim=3)[:, :, -1]
    mean = torch.nn.functional.avg_pool2d(full.flatten(0, 1), 8).unflatten(0, (1, 2))
    assert (centre - mean).abs().max() < 2e-3


def test_poses_become_relative_to_the_first_camera_and_keep_their_distances():
    c2w, _ = cameras(batch=2)
    relative = relative_to_first_pose(c2w, c2w)
    torch.testing.assert_close(relative[:, 0, 0], torch.eye(4).repeat(2, 1, 1), atol=1e-6, rtol=0)
    torch.testing.assert_close(c2w[:, 0, 0] @ relative[:, 1, 3], c2w[:, 1, 3])
    targets = relative_to_first_pose(c2w[:, 1], c2w)
    torch.testing.assert_close(targets, relative[:, 1])
    before, after = (p[0, 1, 3, :3, 3] - p[0, 1, 7, :3, 3] for p in (c2w, relative))
    torch.testing.assert_close(before.norm(), after.norm())


def rotation_by_rodrigues(axis, angle):
    x, y, z = axis
    cross = torch.tensor([[0, -z, y], [z, 0, -x], [-y, x, 0]], dtype=torch.float64)
    return torch.eye(3, dtype=torch.float64) + math.sin(angle) * cross + (1 - math.cos(angle)) * cross @ cross


def test_quaternions_of_rotations_up_to_half_a_turn():
    generator = torch.Generator().manual_seed(0)
    for angle in (0.0, 1e-4, 0.5, 2.0, math.pi - 1e-4, math.pi, 4.0):
        axis = torch.nn.functional.normalize(torch.randn(3, generator=generator, dtype=torch.float64), dim=0)
        quat = quaternion_from_rotation(rotation_by_rodrigues(axis.tolist(), angle))
        expected = torch.cat([axis.new_tensor([math.cos(angle / 2)]), math.sin(angle / 2) * axis])
        assert abs(abs(quat @ expected) - 1) < 1e-12


def test_product_of_quaternions_is_the_product_of_rotations():
    first, second = rotation_by_rodrigues([0.6, 0, 0.8], 0.7), rotation_by_rodrigues([0, 1, 0], -1.2)
    product = quaternion_product(quaternion_from_rotation(first), quaternion_from_rotation(second))
    assert abs(abs(product @ quaternion_from_rotation(first @ second)) - 1) < 1e-12
