"""Segments against pictures whose lines are known."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from lyra.geometry.line_segments import line_segments


def turned_rectangle(degrees: float, half: tuple[float, float] = (38.0, 24.0)) -> Tensor:
    """A grey rectangle on white, its edges covered in part as a camera shows them."""
    height, width = 96, 128
    y, x = torch.meshgrid(torch.arange(height) - (height - 1) / 2, torch.arange(width) - (width - 1) / 2, indexing="ij")
    turn = math.radians(degrees)
    along, across = x * math.cos(turn) + y * math.sin(turn), -x * math.sin(turn) + y * math.cos(turn)
    inside = (half[0] - along.abs() + 0.5).clamp(0, 1) * (half[1] - across.abs() + 0.5).clamp(0, 1)
    return (1 - 0.6 * inside).expand(3, height, width)


@pytest.mark.parametrize("degrees", [0.0, 7.0, 33.0, 90.0, 151.0])
def test_the_sides_of_a_rectangle_are_found_where_they_are(degrees):
    found = line_segments(turned_rectangle(degrees), shortest=20)

    assert len(found) == 4
    centre, turn = torch.tensor([63.5, 47.5]), math.radians(degrees)
    axes = torch.tensor([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    ends = (found.view(4, 2, 2) - centre) @ axes.T
    long = (ends[:, 1] - ends[:, 0]).abs().argmax(dim=1) == 0
    assert long.sum() == 2
    for pair, side, length in ((ends[long], 1, 76), (ends[~long], 0, 48)):
        distance = (24, 38)[1 - side]
        assert pair[:, :, side].abs() == pytest.approx(np.full((2, 2), distance), abs=0.6)
        assert pair[:, 0, side].mul(pair[:, 1, side]).gt(0).all()
        assert (pair[:, 1, 1 - side] - pair[:, 0, 1 - side]).abs() == pytest.approx(np.full(2, length), abs=4)


def test_a_line_that_only_colour_shows_is_found():
    rgb = torch.full((3, 64, 64), 0.5)
    rgb[0, :, 32:], rgb[1, :, 32:] = 0.3, 0.5 + 0.2 * 0.299 / 0.587  # as bright on both sides

    (segment,) = line_segments(rgb)

    assert segment[[0, 2]] == pytest.approx([31.5, 31.5], abs=0.3)
    assert (segment[3] - segment[1]).abs() > 58


def test_nothing_is_seen_in_nothing_and_in_what_is_round_or_rough():
    y, x = torch.meshgrid(torch.arange(96.0), torch.arange(96.0), indexing="ij")
    disc = (16 - ((x - 48).square() + (y - 48).square()).sqrt() + 0.5).clamp(0, 1).expand(3, 96, 96)
    rough = torch.rand(3, 96, 96, generator=torch.Generator().manual_seed(0))

    assert line_segments(torch.full((3, 64, 96), 0.7)).shape == (0, 4)
    assert len(line_segments(disc, shortest=24)) == 0
    assert len(line_segments(rough, shortest=24)) == 0


def test_short_ones_are_left_out():
    rgb = turned_rectangle(0.0, half=(38.0, 8.0))

    assert len(line_segments(rgb, shortest=8)) == 4
    assert len(line_segments(rgb, shortest=24)) == 2
