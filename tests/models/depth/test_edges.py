import pytest
import torch

from lyra.geometry.constants import FAR_DEPTH
from lyra.models.depth.edges import REACH, settle_edges

NEAR, FAR, EDGE = 0.6, 1.8, 24
HEIGHT, WIDTH = 32, 48


def ramped(width: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Depth from a near surface to a far one over ``width`` columns around `EDGE`, and a picture sharp there."""
    columns = torch.arange(WIDTH).float() + 0.5
    share = ((columns - EDGE) / width + 0.5).clamp(0, 1)
    depth = (NEAR ** (1 - share) * FAR**share).expand(1, HEIGHT, WIDTH).contiguous()
    rgb = torch.where(columns < EDGE, 0.8, 0.3).expand(1, 3, HEIGHT, WIDTH).contiguous()
    return depth, rgb


def none_of(depth: torch.Tensor) -> torch.Tensor:
    return torch.zeros_like(depth, dtype=torch.bool)


@pytest.mark.parametrize("width", [3, 6])
def test_a_ramp_becomes_a_step_where_the_picture_has_one(width):
    depth, rgb = ramped(width)
    settled = settle_edges(depth, none_of(depth), rgb)
    assert ((settled - NEAR).abs() < 0.01)[..., :EDGE].all()
    assert ((settled - FAR).abs() < 0.03)[..., EDGE:].all()


def test_the_colours_say_where_not_the_middle_of_the_ramp():
    depth, rgb = ramped(4)
    moved = rgb.roll(1, dims=3)  # the picture's edge lies one column farther right than the ramp's middle
    moved[..., :1] = 0.8
    settled = settle_edges(depth, none_of(depth), moved)
    assert ((settled - NEAR).abs() < 0.01)[..., : EDGE + 1].all()
    assert ((settled - FAR).abs() < 0.03)[..., EDGE + 1 :].all()


def test_a_slope_of_one_colour_stays_a_slope():
    rows = torch.linspace(0, 1.5, HEIGHT)
    depth = torch.exp(rows)[:, None].expand(1, HEIGHT, WIDTH).contiguous()  # 5 % a row, 20 % within the window
    settled = settle_edges(depth, none_of(depth), torch.full((1, 3, HEIGHT, WIDTH), 0.5))
    inner = slice(REACH, -REACH)
    assert torch.allclose(settled[:, inner], depth[:, inner])


def test_sky_keeps_its_depth_and_lends_it_to_nothing():
    depth, rgb = ramped(3)
    sky = torch.zeros_like(depth, dtype=torch.bool)
    sky[..., EDGE:] = True
    depth = torch.where(sky, FAR_DEPTH, depth)
    settled = settle_edges(depth, sky, torch.full_like(rgb, 0.5))
    assert (settled[sky] == FAR_DEPTH).all()
    assert (settled[~sky] <= depth[~sky].max()).all()


def test_pictures_of_a_batch_do_not_touch_each_other():
    depth, rgb = ramped(5)
    other = depth.flip(-1), rgb.flip(-1)
    both = settle_edges(torch.cat([depth, other[0]]), none_of(depth.expand(2, -1, -1)), torch.cat([rgb, other[1]]))
    assert torch.equal(both[:1], settle_edges(depth, none_of(depth), rgb))
    assert torch.equal(both[1:], settle_edges(other[0], none_of(depth), other[1]))


def test_smooth_depth_is_left_alone_bit_for_bit():
    depth = 1 + 0.01 * torch.rand(2, HEIGHT, WIDTH, generator=torch.Generator().manual_seed(1))
    assert torch.equal(settle_edges(depth, none_of(depth), torch.rand(2, 3, HEIGHT, WIDTH)), depth)


def test_strays_join_the_surface_around_them_and_sky_lends_them_nothing():
    depth = torch.full((1, HEIGHT, WIDTH), NEAR)
    depth[..., EDGE:] = FAR
    sky = none_of(depth)
    sky[:, :8, EDGE:] = True
    depth = torch.where(sky, FAR_DEPTH, depth)
    rgb = torch.where(depth < 1, 0.8, 0.3)[:, None].expand(-1, 3, -1, -1).contiguous()
    clean = settle_edges(depth, sky, rgb)
    odd = depth.clone()
    places = (16, EDGE + 1), (25, EDGE + 2), (25, EDGE + 3), (4, EDGE - 1)  # alone, two, at the sky
    for row, column in places:
        odd[0, row, column] = 1.1
        rgb[0, :, row, column] = torch.tensor([0.1, 0.9, 0.1])  # of a colour that no other pixel has
    settled = settle_edges(odd, sky, rgb)
    assert torch.allclose(settled, clean)
