"""The 4D cache: every frame shows the moment of its own source picture."""

import torch

from lyra.geometry.trajectories import trajectory_c2w
from lyra.stages import warp_clips, warp_moving_clips

HEIGHT, WIDTH, FRAMES = 32, 48, 5
K = torch.tensor([[[40.0, 0, WIDTH / 2], [0, 40.0, HEIGHT / 2], [0, 0, 1]]])


def moving_square(frames: int = FRAMES) -> tuple[torch.Tensor, torch.Tensor]:
    """A red square at depth 0.5 that wanders 4 px a frame before a wall at depth 2: pictures and depths of one clip."""
    rows, columns = torch.meshgrid(torch.arange(HEIGHT), torch.arange(WIDTH), indexing="ij")
    pictures, depths = [], []
    for frame in range(frames):
        square = (rows - 16).abs().lt(7) & (columns - 10 - 4 * frame).abs().lt(7)
        wall = torch.stack([torch.zeros(HEIGHT, WIDTH), 0.2 + 0.6 * columns / WIDTH, 0.7 + 0 * columns])
        pictures.append(torch.where(square, torch.tensor([0.9, 0.1, 0.1])[:, None, None], wall))
        depths.append(torch.where(square, 0.5, 2.0))
    return torch.stack(pictures)[None], torch.stack(depths)[None]


def test_a_scene_that_stands_still_is_warped_as_a_photo_is():
    rgb, depth = (part[:, :1] for part in moving_square())
    path = trajectory_c2w("right", FRAMES, 0.3)[None]
    source = torch.eye(4).expand(1, FRAMES, 4, 4)
    still = warp_clips(rgb[:, 0], depth[:, 0], K, path)
    moving = warp_moving_clips(rgb.expand(-1, FRAMES, -1, -1, -1), depth.expand(-1, FRAMES, -1, -1), K, source, path)
    assert torch.allclose(still[0], moving[0], atol=1e-5) and torch.allclose(still[1], moving[1], atol=1e-4)
    assert torch.equal(still[2], moving[2])


def test_frame_i_shows_source_picture_i_where_the_pinhole_puts_it():
    rgb, depth = moving_square()
    source = torch.eye(4).repeat(1, FRAMES, 1, 1)
    target = source.clone()
    target[0, :, 0, 3] = torch.linspace(0, 0.1, FRAMES)  # 0.025 a frame to the right: 2 px at depth 0.5, 0.5 px at 2
    color, z, mask = warp_moving_clips(rgb, depth, K, source, target)
    assert torch.equal(color[0, 0], rgb[0, 0]) and mask[0, 0].all()
    for frame in range(1, FRAMES):
        column = 10 + 4 * frame - 2 * frame
        assert float(color[0, frame, 0, 16, column]) > 0.85 and abs(float(z[0, frame, 16, column]) - 0.5) < 0.02
        left = color[0, frame, 0, 16, max(0, column - 12)]
        assert float(left) < 0.05, "where the square was a moment ago there is wall"


def test_a_camera_that_moves_along_with_the_source_sees_the_source():
    rgb, depth = moving_square()
    source = torch.eye(4).repeat(1, FRAMES, 1, 1)
    source[0, :, 0, 3] = torch.linspace(0, 0.4, FRAMES)
    color, z, mask = warp_moving_clips(rgb, depth, K, source, source.clone())
    assert torch.equal(color, rgb) and torch.equal(z, depth) and mask.all()
    shifted = source.clone()
    shifted[..., 0, 3] += 0.05
    there, _, seen = warp_moving_clips(rgb, depth, K, source, shifted)
    alone, _, also = warp_moving_clips(
        rgb, depth, K, torch.eye(4).repeat(1, FRAMES, 1, 1), shifted - source + torch.eye(4)
    )
    # poses that are equal up to rounding may move a point that lies between two pixels, and with it what a hole is
    # filled from
    apart, both = (there - alone).abs().amax(dim=2), seen & also
    assert (seen == also).float().mean() > 0.999
    assert (apart[both] <= 1e-3).float().mean() > 0.999 and apart[~both].mean() < 0.02


def test_pixels_that_are_not_valid_are_not_splatted():
    rgb, depth = moving_square()
    source = torch.eye(4).repeat(1, FRAMES, 1, 1)
    target = source.clone()
    target[..., 0, 3] = 0.05
    valid = depth < 1
    color, _, mask = warp_moving_clips(rgb, depth, K, source, target, valid)
    assert 0.02 < mask.float().mean() < 0.2 and (color[mask.unsqueeze(2).expand_as(color)].view(-1).max() <= 0.91)
