import torch

from lyra.geometry import intrinsics_from_fov, invert_rigid, look_at, transform_points, unproject


def test_projecting_the_points_gives_back_pixels_and_depth():
    generator = torch.Generator().manual_seed(0)
    depth = 0.5 + torch.rand(3, 5, 7, generator=generator, dtype=torch.float64)
    K = intrinsics_from_fov(torch.tensor([0.8, 1.0, 1.4], dtype=torch.float64), 5, 7)
    K[:, 0, 1] = 1.5
    eye = torch.randn(3, 3, generator=generator, dtype=torch.float64)
    c2w = look_at(eye, torch.tensor([0.0, 0.0, 9.0], dtype=torch.float64))
    for centre in (0.5, 0.0):
        points = unproject(depth, K, c2w, pixel_centre=centre)
        camera = transform_points(points.flatten(1, 2), invert_rigid(c2w))
        pixel = camera @ K.mT
        pixel = (pixel[..., :2] / pixel[..., 2:]).view(3, 5, 7, 2)
        assert torch.allclose(camera[..., 2].view(3, 5, 7), depth)
        rows, columns = torch.meshgrid(torch.arange(5.0), torch.arange(7.0), indexing="ij")
        expected = torch.stack([columns, rows], dim=-1).double() + centre
        assert torch.allclose(pixel, expected.expand_as(pixel))


def test_pixels_without_depth_give_the_origin_of_the_world():
    depth = torch.tensor([[[0.0, -1.0, 2.0]]])
    c2w = torch.eye(4)[None].clone()
    c2w[:, :3, 3] = 5
    points = unproject(depth, intrinsics_from_fov(1.0, 1, 3)[None], c2w)
    assert torch.equal(points[0, 0, :2], torch.zeros(2, 3))
    assert points[0, 0, 2, 2] == 7


def test_one_depth_map_broadcasts_over_cameras():
    c2w = torch.eye(4).repeat(2, 4, 1, 1)
    points = unproject(torch.ones(5, 7), intrinsics_from_fov(1.0, 5, 7), c2w)
    assert points.shape == (2, 4, 5, 7, 3)
