"""Guidance in the convention of the Cosmos samplers, on all noise levels or on some."""

import math
from collections.abc import Sequence
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
        refresh: the difference cond - uncond is computed anew at every so manieth guided level, and kept between.
    """

    weight: float = 1.0
    lowest: float = 0.0
    highest: float = math.inf
    refresh: int = 1

    def __post_init__(self) -> None:
        if not 0 <= self.lowest < self.highest:
            raise ValueError(f"Guidance: the levels {self.lowest} to {self.highest} are no interval")
        if self.refresh < 1:
            raise ValueError(f"Guidance: refresh {self.refresh} is below 1")

    def acts(self, level: float) -> bool:
        """Whether the estimate is guided at a noise level."""
        return self.weight != 0 and self.lowest <= level <= self.highest

    def passes(self, levels: Sequence[float]) -> int:
        """Network passes of a clip that is estimated at these noise levels, one after the other."""
        guided = sum(self.acts(level) for level in levels)
        return len(levels) + -(-guided // self.refresh)


def guided(conditional: Denoiser, unconditional: Denoiser, guidance: Guidance) -> Denoiser:
    """The denoiser ``cond + g (cond - uncond)`` of one clip; the unconditional one is called only where it is needed.

    Estimates of the clean x and raw network outputs give the same result: one is an affine map of the other. That holds
    for ``refresh`` 1; a difference that is kept is one of estimates of the clean x.
    """
    count = 0
    difference: Tensor | None = None

    def denoise(x: Tensor, sigma: Tensor) -> Tensor:
        nonlocal count, difference
        wanted = conditional(x, sigma)
        if not guidance.acts(float(sigma[0])):
            return wanted
        if difference is None or count % guidance.refresh == 0:
            difference = wanted - unconditional(x, sigma)
        count += 1
        return wanted + guidance.weight * difference

    return denoise
