"""The verbs of the road: value in, value out; networks are passed in, and only ``pipeline`` knows the order."""

from lyra.stages.background import background_plate, behind, unlike
from lyra.stages.cover import CoverConfig, cover, cover_moment
from lyra.stages.decode import decode, prepare_inputs
from lyra.stages.decode_moving import decode_hidden, decode_visible
from lyra.stages.decode_published import decode_published
from lyra.stages.detail import DetailConfig, detail
from lyra.stages.edges import draw_edges, draw_edges_of, edge_gaussians, with_edges
from lyra.stages.frames import decode_frames
from lyra.stages.illustrate import Candidate, illustrate, judge
from lyra.stages.imagine import imagine, teacher_inputs
from lyra.stages.imagine_published import PublishedSampling, imagine_published, published_inputs
from lyra.stages.locate import CameraPath, locate, scale_to_depth, still_cameras
from lyra.stages.perceive import PerceiveConfig, perceive
from lyra.stages.plan import plan, plan_moving, require_plannable
from lyra.stages.recolor import RecolorConfig, recolor
from lyra.stages.refine import RefineConfig, refine, refine_moment
from lyra.stages.steady import SteadyConfig, steady
from lyra.stages.thin import ThinConfig, thin
from lyra.stages.warp import warp, warp_clips, warp_moving, warp_moving_clips
from lyra.stages.warp_published import grow_cache, start_cache, warp_published, warp_video

__all__ = [
    "CameraPath",
    "Candidate",
    "CoverConfig",
    "DetailConfig",
    "PerceiveConfig",
    "PublishedSampling",
    "RecolorConfig",
    "RefineConfig",
    "SteadyConfig",
    "ThinConfig",
    "background_plate",
    "behind",
    "cover",
    "cover_moment",
    "decode",
    "decode_frames",
    "decode_hidden",
    "decode_published",
    "decode_visible",
    "detail",
    "draw_edges",
    "draw_edges_of",
    "edge_gaussians",
    "grow_cache",
    "illustrate",
    "imagine",
    "imagine_published",
    "judge",
    "locate",
    "perceive",
    "plan",
    "plan_moving",
    "prepare_inputs",
    "published_inputs",
    "recolor",
    "refine",
    "refine_moment",
    "require_plannable",
    "scale_to_depth",
    "start_cache",
    "steady",
    "still_cameras",
    "teacher_inputs",
    "thin",
    "unlike",
    "warp",
    "warp_clips",
    "warp_moving",
    "warp_moving_clips",
    "warp_published",
    "warp_video",
    "with_edges",
]
