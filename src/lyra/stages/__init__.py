"""The verbs of the road: value in, value out; networks are passed in, and only ``pipeline`` knows the order."""

from lyra.stages.cover import CoverConfig, cover
from lyra.stages.decode import decode, prepare_inputs
from lyra.stages.decode_published import decode_published
from lyra.stages.illustrate import Candidate, illustrate, judge
from lyra.stages.imagine import imagine, teacher_inputs
from lyra.stages.imagine_published import PublishedSampling, imagine_published, published_inputs
from lyra.stages.perceive import PerceiveConfig, perceive
from lyra.stages.plan import plan, require_plannable
from lyra.stages.recolor import RecolorConfig, recolor
from lyra.stages.warp import warp, warp_clips, warp_moving, warp_moving_clips
from lyra.stages.warp_published import grow_cache, start_cache, warp_published

__all__ = [
    "Candidate",
    "CoverConfig",
    "PerceiveConfig",
    "PublishedSampling",
    "RecolorConfig",
    "cover",
    "decode",
    "decode_published",
    "grow_cache",
    "illustrate",
    "imagine",
    "imagine_published",
    "judge",
    "perceive",
    "plan",
    "prepare_inputs",
    "published_inputs",
    "recolor",
    "require_plannable",
    "start_cache",
    "teacher_inputs",
    "warp",
    "warp_clips",
    "warp_moving",
    "warp_moving_clips",
    "warp_published",
]
