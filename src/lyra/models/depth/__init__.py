"""Monocular depth, sky and field of view."""

from lyra.models.depth.aligned import aligned_depth
from lyra.models.depth.clips import clip_depth, steady_depth
from lyra.models.depth.config import DepthConfig, DepthLossConfig
from lyra.models.depth.losses import depth_loss
from lyra.models.depth.model import DepthNet, DepthPrediction
from lyra.models.depth.photo import photo_depth

__all__ = [
    "DepthConfig",
    "DepthLossConfig",
    "DepthNet",
    "DepthPrediction",
    "aligned_depth",
    "clip_depth",
    "depth_loss",
    "photo_depth",
    "steady_depth",
]
