"""Where things stand: layouts that turn a seed into a world."""

from lyra.worlds.layout.sampling import ABSTRACT, KINDS, sample_world

__all__ = ["ABSTRACT", "KINDS", "sample_world"]
