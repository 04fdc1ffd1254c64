"""Averages of image scores over all frames, the last third of each trajectory, and disoccluded pixels."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from lyra.metrics import psnr, ssim
from lyra.models.perceptual import SqueezePerceptual

MIN_HOLE_PIXELS = 200
"""Frames with fewer disoccluded pixels do not count in that column."""


@dataclass
class ScoreSheet:
    """Collects per-frame scores of one method against one reference.

    PSNR is averaged over frames (not taken of the mean error), as the field does.
    """

    psnr_all: list[float] = field(default_factory=list)
    ssim_all: list[float] = field(default_factory=list)
    lpips_all: list[float] = field(default_factory=list)
    psnr_late: list[float] = field(default_factory=list)
    ssim_late: list[float] = field(default_factory=list)
    lpips_late: list[float] = field(default_factory=list)
    psnr_holes: list[float] = field(default_factory=list)
    lpips_holes: list[float] = field(default_factory=list)

    def add(self, scores: "ClipScores") -> None:
        """Take the scores of one clip."""
        for name, values in scores.whole.items():
            getattr(self, f"{name}_all").extend(values.tolist())
            getattr(self, f"{name}_late").extend(values[scores.late].tolist())
        for name, values in scores.holes.items():
            getattr(self, f"{name}_holes").extend(values.tolist())

    def means(self) -> dict[str, float]:
        """Mean of every column that has values."""
        return {
            name: round(float(torch.tensor(values).mean()), 4) for name, values in vars(self).items() if len(values) > 0
        }


@dataclass(frozen=True)
class ClipScores:
    """Scores of some frames of one clip.

    Attributes:
        whole: [N] values of ``psnr``, ``ssim`` and ``lpips`` over whole frames.
        holes: [M] values of ``psnr`` and ``lpips`` inside the holes of the frames that have enough of them.
        late: [N] bool, frames in the last third of the clip.
    """

    whole: dict[str, Tensor]
    holes: dict[str, Tensor]
    late: Tensor


def score_clip(images: Tensor, truth: Tensor, holes: Tensor, late: Tensor, network: SqueezePerceptual) -> ClipScores:
    """Compare N frames with the truth.

    Args:
        images, truth: [N, 3, H, W] 0…1.
        holes: [N, H, W] bool, pixels the source picture does not show.
        late: [N] bool, frames in the last third.
        network: perceptual distance; ``lpips_squeeze`` is the mean of its map over the frame, or over the holes.
    """
    images, truth = images.clamp(0, 1), truth.clamp(0, 1)
    distance = network.spatial(images, truth)
    whole = {"psnr": psnr(images, truth), "ssim": ssim(images, truth), "lpips": distance.mean(dim=(1, 2))}
    area = holes.flatten(1).sum(dim=1)
    some = area >= MIN_HOLE_PIXELS
    inside = (distance * holes).sum(dim=(1, 2))[some] / area[some]
    holes_scores = {"psnr": psnr(images[some], truth[some], holes[some]), "lpips": inside} if bool(some.any()) else {}
    return ClipScores(whole, holes_scores, late)
