"""Named ways to sample: from exactly as published to fewer network passes that are also cheaper."""

from dataclasses import dataclass, field

from lyra.diffusion import Guidance
from lyra.stages import PublishedSampling
from lyra.structures import InputError


@dataclass(frozen=True)
class Quality:
    """How clips are sampled, and whether the network may be rounded for speed.

    Attributes:
        sampling: steps and guidance.
        fast: compiled blocks that multiply 8-bit numbers, on GPUs that can.
    """

    sampling: PublishedSampling = field(default_factory=PublishedSampling)
    fast: bool = False


QUALITIES: dict[str, Quality] = {
    "published": Quality(),
    "balanced": Quality(PublishedSampling(13, Guidance(1.0, 0.5, 20.0, refresh=2), order=2, smallest=0.01), fast=True),
    "draft": Quality(PublishedSampling(10, Guidance(0.0), order=2, smallest=0.01), fast=True),
}
"""``balanced`` and ``draft`` change the result; how much can only be told with the weights (docs/official.md)."""


def quality_of(name: str) -> Quality:
    """A quality by its name.

    Raises:
        InputError: unknown quality.
    """
    if name not in QUALITIES:
        raise InputError(f"quality '{name}' is unknown; choose from {', '.join(QUALITIES)}")
    return QUALITIES[name]
