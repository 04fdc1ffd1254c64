"""Material made on the device: shapes, ranges, and that motion and masks mean what they say."""

import math

import torch

from lyra.training.device_data import PathBank, PhotoTiles, random_intrinsics
from lyra.training.losses import gradient_loss, scale_invariant_depth_loss

CPU = torch.device("cpu")


def test_paths_start_at_the_source_and_stay_rigid():
    torch.manual_seed(0)
    bank = PathBank(17, CPU, seed=0, count=8)
    c2w = bank.draw(5, 6)
    assert c2w.shape == (5, 6, 17, 4, 4)
    assert torch.allclose(c2w[:, :, 0], torch.eye(4).expand(5, 6, 4, 4), atol=1e-5)
    rotation = c2w[..., :3, :3]
    assert torch.allclose(rotation @ rotation.mT, torch.eye(3).expand_as(rotation), atol=1e-5)
    assert (c2w[:, 0, -1, 0, 3] < -0.05).all() and (c2w[:, 4, -1, 2, 3] > 0.1).all()  # left, zoom_in
    different = bank.draw(64, 2)[:, :, -1, :3, 3]
    assert (different[:, 0] - different[:, 1]).norm(dim=-1).min() > 1e-4  # never the same trajectory twice


def test_photo_clips_move_smoothly_and_stills_fill_the_frame(few_textures):
    torch.manual_seed(0)
    photos = PhotoTiles(few_textures["val"], CPU)
    clips = photos.clips(3, 5, 32, 64)
    assert clips.shape == (3, 5, 3, 32, 64) and clips.min() >= 0 and clips.max() <= 1
    steps = (clips[:, 1:] - clips[:, :-1]).abs().mean(dim=(2, 3, 4))
    assert (steps > 1e-4).all() and (steps.max(dim=1).values < 4 * steps.min(dim=1).values).all()
    assert photos.stills(2, 64, 32).shape == (2, 3, 64, 32)


def test_intrinsics_keep_the_angle_along_the_long_side():
    torch.manual_seed(0)
    wide, tall = random_intrinsics(50, 256, 448, CPU), random_intrinsics(50, 448, 256, CPU)
    for K in (wide, tall):
        long_angle = 2 * torch.atan(224 / K[:, 0, 0])
        assert long_angle.min() >= math.radians(34.9) and long_angle.max() <= math.radians(90.1)
        assert torch.allclose(K[:, 0, 0], K[:, 1, 1])


def test_depth_loss_ignores_scale_and_shift_but_not_shape():
    torch.manual_seed(0)
    depth = torch.rand(2, 12, 16) + 0.5
    valid = torch.ones_like(depth, dtype=torch.bool)
    assert scale_invariant_depth_loss(3 * depth + 2, depth, valid) < 1e-9
    assert scale_invariant_depth_loss(depth.flip(-1), depth, valid) > 0.1
    # by hand: values 1, 2, 3, 4 with lower median 2: deviations -1, 0, 1, 2, mean 1; against -2..1 after the flip
    a = torch.tensor([[[1.0, 2.0], [3.0, 4.0]]])
    b = torch.tensor([[[4.0, 3.0], [2.0, 1.0]]])
    expected = torch.tensor([3.0, 1.0, 1.0, 3.0]).sub(0.5).mean()  # |(-1-2)|, |(0-1)|, |(1-0)|, |(2+1)|, beta 1
    assert torch.allclose(scale_invariant_depth_loss(a, b, valid[:1, :2, :2]), expected)


def test_gradient_loss_is_blind_to_brightness():
    image = torch.rand(1, 3, 8, 8)
    assert gradient_loss(image + 0.3, image) < 1e-6 and gradient_loss(image.flip(-1), image) > 0.1
