"""Guidance in the convention of the Cosmos samplers, on all noise levels or on some."""

import math
from dataclasses import dataclass

from torch import Tensor

from lyra.diffusion.edm import Denoiser


@dataclass(frozen=True)
class Guidance:
    """How far the sampler goes beyond the conditional estimate, and where.

    Attributes:
        weight: g of ``cond + g (cond - uncond)``; 1 equals a scale of 2 in the usual convention. 0 is the conditional
            estimate alone, at the price of one network pass instead of two.
        lowest, highest: noise levels outside are not guided (Kynkäänniemi et al. 2024, arXiv 2404.07724).
    """

    weight: float = 1.0
    lowest: float = 0.0
    highest: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest:
            raise ValueError(f"Guidance: the levels {self.lowest} to {self.highest} are no interval")

    def acts(self, level: float) -> bool:
        """Whether the second pass is needed at a noise level."""
        return self.weight != 0 and self.lowest <= level <= self.highest


def guided(conditional: Denoiser, unconditional: Denoiser, guidance: Guidance) -> Denoiser:
    """The denoiser ``cond + g (cond - uncond)``; the unconditional one is called only where the guidance acts.

    Estimates of the clean x and raw network outputs give the same result: one is an affine map of the other.
    """

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        wanted = conditional(x, sigma)
        if not guidance.acts(float(sigma[0])):
            return wanted
        return wanted + guidance.weight * (wanted - unconditional(x, sigma))

    return denoise
