"""The road from a video to a moving scene: chunk by chunk, one set of Gaussians for each time."""

from lyra.video.chunks import Chunk, plan_chunks
from lyra.video.options import VideoOptions
from lyra.video.produce import produce
from lyra.video.road import Moment, MovingChunk, MovingRoad

__all__ = ["Chunk", "Moment", "MovingChunk", "MovingRoad", "VideoOptions", "plan_chunks", "produce"]
