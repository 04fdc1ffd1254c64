"""Averages of image scores over all frames, the last third of each trajectory, and disoccluded pixels."""

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from lyra.metrics import lpips, psnr, ssim

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

    def add(self, images: Tensor, truth: Tensor, holes: Tensor, network: nn.Module) -> None:
        """Score one clip; frame 0, which is given, is left out.

        Args:
            images, truth: [T, 3, H, W] 0…1.
            holes: [T, H, W] bool, pixels the source picture does not show.
            network: perceptual distance for ``lpips_squeeze``.
        """
        images, truth, holes = images[1:].clamp(0, 1), truth[1:].clamp(0, 1), holes[1:]
        values = psnr(images, truth), ssim(images, truth), lpips(network, images, truth)
        late = slice(len(images) * 2 // 3, None)
        for name, scores in zip(("psnr", "ssim", "lpips"), values, strict=True):
            getattr(self, f"{name}_all").extend(scores.tolist())
            getattr(self, f"{name}_late").extend(scores[late].tolist())
        some = holes.flatten(1).sum(dim=1) >= MIN_HOLE_PIXELS
        if bool(some.any()):
            self.psnr_holes.extend(psnr(images[some], truth[some], holes[some]).tolist())
            self.lpips_holes.extend(lpips(network, images[some], truth[some], holes[some]).tolist())

    def means(self) -> dict[str, float]:
        """Mean of every column that has values."""
        return {
            name: round(float(torch.tensor(values).mean()), 4) for name, values in vars(self).items() if len(values) > 0
        }
