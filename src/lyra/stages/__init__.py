"""The verbs of the road: value in, value out; networks are passed in, and only ``pipeline`` knows the order."""

from lyra.stages.cover import CoverConfig, cover
from lyra.stages.decode import decode, prepare_inputs
from lyra.stages.illustrate import Candidate, illustrate, judge
from lyra.stages.imagine import imagine, teacher_inputs
from lyra.stages.perceive import PerceiveConfig, perceive
from lyra.stages.plan import plan, require_plannable
from lyra.stages.recolor import RecolorConfig, recolor
from lyra.stages.warp import warp, warp_clips

__all__ = [
    "Candidate",
    "CoverConfig",
    "PerceiveConfig",
    "RecolorConfig",
    "cover",
    "decode",
    "illustrate",
    "imagine",
    "judge",
    "perceive",
    "plan",
    "prepare_inputs",
    "recolor",
    "require_plannable",
    "teacher_inputs",
    "warp",
    "warp_clips",
]
