"""Lifted photographs: the picture is itself where it should be, and holes open beside what stands before it."""

import pytest
import torch
from torch.nn import functional as F

from lyra.training.device_data import PathBank, PhotoTiles
from lyra.training.lifted_photos import lift, lifted_clips, snap_edges
from lyra.worlds.photographic import draw_looks, neutral_looks

CPU = torch.device("cpu")
HEIGHT, WIDTH, MARGIN = 40, 64, 16
NEAR, FAR = 0.8, 2.0
LEFT, RIGHT = 40, 56  # columns of the canvas that a near post takes up
FOCAL, SHIFT = 64.0, 0.2


def canvas() -> tuple[torch.Tensor, torch.Tensor]:
    """A textured picture [1, 3, H, W] and its depth: an upright post before a wall."""
    generator = torch.Generator().manual_seed(0)
    shape = (HEIGHT + 2 * MARGIN, WIDTH + 2 * MARGIN)
    texture = F.interpolate(
        torch.rand(1, 3, shape[0] // 4, shape[1] // 4, generator=generator), size=shape, mode="bilinear"
    )
    depth = torch.full((1, *shape), FAR)
    depth[..., LEFT:RIGHT] = NEAR
    texture[..., LEFT:RIGHT] = 0.2 + 0.3 * texture[..., LEFT:RIGHT]
    return texture, depth


def sideways(frames: int = 5) -> torch.Tensor:
    """[1, T, 4, 4] a move to the right without turning."""
    c2w = torch.eye(4).repeat(1, frames, 1, 1)
    c2w[0, :, 0, 3] = torch.linspace(0, SHIFT, frames)
    return c2w


@pytest.fixture(scope="module")
def clips():
    K = torch.tensor([[[FOCAL, 0, WIDTH / 2], [0, FOCAL, HEIGHT / 2], [0, 0, 1]]])
    return lift(*canvas(), K, sideways(), HEIGHT, WIDTH)


def test_the_last_frame_is_the_photograph(clips):
    picture, _ = canvas()
    assert clips.photo_frame.tolist() == [4]
    assert torch.equal(clips.frames[0, 4], picture[0, :, MARGIN:-MARGIN, MARGIN:-MARGIN])
    assert clips.frames.shape == (1, 5, 3, HEIGHT, WIDTH) and clips.mask.shape == (1, 5, HEIGHT, WIDTH)
    assert clips.mask[0, 0].all() and torch.equal(clips.warped[0, 0], clips.frames[0, 0])


def test_things_move_by_their_disparity(clips):
    """Between the first frame and the photograph the post moves by f b / NEAR, the wall by f b / FAR, to the left."""
    first, last = clips.frames[0, 0], clips.frames[0, 4]
    near, far = FOCAL * SHIFT / NEAR, FOCAL * SHIFT / FAR
    assert near == pytest.approx(16.0) and far == pytest.approx(6.4)
    post = slice(LEFT - MARGIN + 2, RIGHT - MARGIN - 2)
    moved = slice(post.start + 16, post.stop + 16)
    assert (first[..., moved] - last[..., post]).abs().mean() < 0.02
    wall = F.interpolate(last[None, :, :, 6:16], scale_factor=(1, 5), mode="bilinear")[0]  # fifths of pixels
    expected = F.interpolate(first[None, :, :, 12:23], scale_factor=(1, 5), mode="bilinear")[0, :, :, 2:52]
    assert (wall - expected)[..., 5:-5].abs().mean() < 0.03


def test_holes_open_on_one_side_of_the_post_and_show_the_real_wall(clips):
    hole = ~clips.mask[0, 4]
    columns = hole.float().mean(dim=0)
    post_right = RIGHT - MARGIN
    width = FOCAL * SHIFT * (1 / NEAR - 1 / FAR)  # of what the post hid
    assert columns[post_right : post_right + int(width) - 1].min() > 0.9
    apart = columns.clone()
    apart[post_right - 5 : post_right + int(width) + 6] = 0
    apart[LEFT - MARGIN - 5 : LEFT - MARGIN + 6] = 0  # the filter of the cache drops edges on both sides
    apart[-8:] = 0  # what the first frame did not reach
    assert apart.max() == 0
    picture = canvas()[0][0, :, MARGIN:-MARGIN, MARGIN:-MARGIN]
    assert torch.equal(clips.frames[0, 4][:, hole], picture[:, hole])
    first = clips.frames[0, 0]
    hidden = picture[..., post_right + 1 : post_right + 8]  # nowhere in the first frame
    distances = [(first[..., x : x + 7] - hidden).abs().mean().item() for x in range(WIDTH - 7)]
    assert min(distances) > 0.04


def test_what_the_cache_shows_is_the_photograph(clips):
    seen = clips.mask[0, 4]
    error = (clips.warped[0, 4] - clips.frames[0, 4])[:, seen]
    assert (error.abs() < 0.03).float().mean() > 0.85 and error.square().mean() < 3e-3 and seen.float().mean() > 0.6
    lost = (clips.warped[0, 4] - clips.frames[0, 4])[:, ~seen]
    assert lost.square().mean() > 5 * error.square().mean()


def test_ramps_between_surfaces_go_to_one_of_them():
    depth = torch.full((1, 9, 30), FAR)
    depth[..., :14] = NEAR
    depth[..., 14:16] = torch.tensor([1.0, 1.6])
    snapped = snap_edges(depth)
    assert torch.allclose(snapped[0, 4].unique(), torch.tensor([NEAR, FAR]))
    slope = torch.linspace(1.0, 2.0, 60).expand(1, 9, 60)  # a floor is no edge
    assert torch.equal(snap_edges(slope), slope)


class FlatDepth:
    """Stands for a depth network: everything at one depth."""

    def infer(self, rgb, settled=True, thorough=True):
        return torch.ones_like(rgb[:, 0]), None, None


@pytest.mark.parametrize(("height", "width"), [(32, 64), (64, 32)])
def test_clips_of_photographs_follow_the_six_paths(few_textures, height, width):
    photos = PhotoTiles(few_textures["train"], CPU)
    bank = PathBank(5, CPU, 0, 4, (0.3, 0.8))
    torch.manual_seed(0)
    looks = draw_looks(6, clean=0.0)
    result = lifted_clips(photos, FlatDepth(), bank.draw(1, 6)[0], height, width, looks)
    assert result.frames.shape == (6, 5, 3, height, width)
    assert result.frames.min() >= 0 and result.frames.max() <= 1
    assert result.photo_frame.tolist()[:5] == [4] * 5  # straight paths end farthest away
    error = (result.warped - result.frames).square().mean(dim=2)
    assert error[result.mask].mean() < 2e-3
    torch.manual_seed(0)
    draw_looks(6, clean=0.0)
    plain = lifted_clips(photos, FlatDepth(), bank.draw(1, 6)[0], height, width, neutral_looks(6))
    assert (plain.frames - result.frames).abs().mean() > 0.01
