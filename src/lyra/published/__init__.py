"""The published checkpoints on the pipeline: other networks, a plan for their memory, several processes."""

from lyra.published.choices import LoadOptions
from lyra.published.pipeline import PublishedPipeline
from lyra.published.quality import QUALITIES, Quality, quality_of
from lyra.published.ranks import Ranks

__all__ = ["QUALITIES", "LoadOptions", "PublishedPipeline", "Quality", "Ranks", "quality_of"]
