"""Perceptual distance between pictures."""

from lyra.models.perceptual.config import SqueezeConfig
from lyra.models.perceptual.model import SqueezePerceptual

__all__ = ["SqueezeConfig", "SqueezePerceptual"]
