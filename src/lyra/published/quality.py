"""Named ways to sample: from exactly as published to fewer network passes."""

from dataclasses import replace

from lyra.diffusion import Guidance
from lyra.stages import PublishedSampling
from lyra.structures import InputError

QUALITIES: dict[str, PublishedSampling] = {
    "published": PublishedSampling(),
    "balanced": PublishedSampling(steps=16, order=2, guidance=Guidance(1.0, lowest=0.3, highest=20.0, refresh=2)),
    "draft": PublishedSampling(steps=10, order=2, guidance=Guidance(0.0)),
}
"""``balanced`` and ``draft`` change the result; how much can only be told with the weights (docs/official.md)."""


def sampling_of(quality: str, steps: int | None = None) -> PublishedSampling:
    """The sampling of a quality, with another number of steps where given.

    Raises:
        InputError: unknown quality.
    """
    if quality not in QUALITIES:
        raise InputError(f"quality '{quality}' is unknown; choose from {', '.join(QUALITIES)}")
    sampling = QUALITIES[quality]
    return sampling if steps is None else replace(sampling, steps=steps)
