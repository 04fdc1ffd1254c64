"""Means of score sheets against numbers computed by hand."""

import math

import pytest
import torch
from torch import Tensor, nn

from lyra.evaluation.scores import MIN_HOLE_PIXELS, ClipScores, ScoreSheet, score_clip

HEIGHT, WIDTH = 32, 40
BASE = 0.5


class MeanDifference(nn.Module):
    """A perceptual distance that anybody can compute: the mean absolute difference."""

    def spatial(self, a: Tensor, b: Tensor) -> Tensor:
        return (a - b).abs().mean(dim=1)


def decibel(difference: float) -> float:
    """PSNR of pictures that differ by the same amount everywhere."""
    return -20 * math.log10(difference)


def similarity(a: float, b: float) -> float:
    """SSIM of two flat pictures: only the luminance term is left."""
    stabiliser = 0.01**2
    return (2 * a * b + stabiliser) / (a * a + b * b + stabiliser)


def clip(differences: list[float]) -> Tensor:
    """Flat frames, each off by its own difference."""
    return (BASE + torch.tensor(differences))[:, None, None, None].expand(-1, 3, HEIGHT, WIDTH).clone()


DIFFERENCES = [0.01, 0.02, 0.04, 0.05, 0.1, 0.2]
LATE = torch.tensor([False, False, False, False, True, True])


def scored(differences: list[float], late: Tensor, holes: Tensor | None = None) -> ClipScores:
    """Scores of flat frames against flat truth."""
    count = len(differences)
    none = torch.zeros(count, HEIGHT, WIDTH, dtype=torch.bool)
    return score_clip(clip(differences), clip([0.0] * count), none if holes is None else holes, late, MeanDifference())


def test_means_of_all_and_of_late_frames():
    sheet = ScoreSheet()
    sheet.add(scored(DIFFERENCES, LATE))
    means = sheet.means()
    measures = {"psnr": decibel, "ssim": lambda d: similarity(BASE, BASE + d), "lpips": lambda d: d}
    for name, measure in measures.items():
        assert means[f"{name}_all"] == pytest.approx(sum(map(measure, DIFFERENCES)) / 6, abs=1e-3)
        assert means[f"{name}_late"] == pytest.approx(sum(map(measure, DIFFERENCES[4:])) / 2, abs=1e-3)
    assert "psnr_holes" not in means and "lpips_holes" not in means


def test_clips_are_pooled_frame_by_frame():
    sheet = ScoreSheet()
    sheet.add(scored([0.1] * 6, LATE))
    sheet.add(scored([0.2] * 3, LATE[3:6]))
    assert sheet.means()["psnr_all"] == pytest.approx((6 * decibel(0.1) + 3 * decibel(0.2)) / 9, abs=1e-3)
    assert sheet.means()["psnr_late"] == pytest.approx((2 * decibel(0.1) + 2 * decibel(0.2)) / 4, abs=1e-3)


def test_holes_are_scored_where_there_are_enough_of_them():
    """Frame 0 has too few pixels, frame 1 just enough: off by 0.1 in the hole; the 0.3 outside must not count."""
    assert MIN_HOLE_PIXELS == 5 * WIDTH
    holes = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    holes[0, :4] = holes[1, :5] = True
    images = clip([0.3, 0.3])
    images[1, :, :5] = BASE + 0.1
    sheet = ScoreSheet()
    sheet.add(score_clip(images, clip([0.0] * 2), holes, LATE[-2:], MeanDifference()))
    means = sheet.means()
    assert len(sheet.psnr_holes) == 1
    assert means["psnr_holes"] == pytest.approx(decibel(0.1), abs=1e-3)
    assert means["lpips_holes"] == pytest.approx(0.1, abs=1e-4)


def test_colours_out_of_range_are_clamped_and_an_empty_sheet_is_empty():
    sheet = ScoreSheet()
    assert sheet.means() == {}
    bright = torch.full((2, 3, HEIGHT, WIDTH), 1.7)
    no_holes = torch.zeros(2, HEIGHT, WIDTH, dtype=torch.bool)
    sheet.add(score_clip(bright, torch.full_like(bright, 0.9), no_holes, LATE[-2:], MeanDifference()))
    assert sheet.means()["psnr_all"] == pytest.approx(decibel(0.1), abs=1e-3)
