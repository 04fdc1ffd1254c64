"""Where things stand: layouts that turn a seed into a world."""

from lyra.worlds.layout.sampling import KINDS, sample_world

__all__ = ["KINDS", "sample_world"]
