"""Settings of the perceptual distance."""

from dataclasses import dataclass


@dataclass(frozen=True)
class SqueezeConfig:
    """Constants of `SqueezePerceptual`; the network is always SqueezeNet v1.1.

    Attributes:
        epsilon: added to the squared length of a feature before division, so that empty features stay empty and have
            a gradient.
    """

    epsilon: float = 1e-6
