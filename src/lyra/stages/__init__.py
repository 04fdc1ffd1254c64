"""The verbs of the road: value in, value out; networks are passed in, and only ``pipeline`` knows the order."""

from lyra.stages.decode import decode, prepare_inputs
from lyra.stages.decode_published import decode_published
from lyra.stages.imagine import imagine, teacher_inputs
from lyra.stages.imagine_published import PublishedSampling, imagine_published, published_inputs
from lyra.stages.perceive import PerceiveConfig, perceive
from lyra.stages.plan import plan
from lyra.stages.recolor import RecolorConfig, recolor
from lyra.stages.warp import warp, warp_clips
from lyra.stages.warp_published import grow_cache, start_cache, warp_published

__all__ = [
    "PerceiveConfig",
    "PublishedSampling",
    "RecolorConfig",
    "decode",
    "decode_published",
    "grow_cache",
    "imagine",
    "imagine_published",
    "perceive",
    "plan",
    "prepare_inputs",
    "published_inputs",
    "recolor",
    "start_cache",
    "teacher_inputs",
    "warp",
    "warp_clips",
    "warp_published",
]
