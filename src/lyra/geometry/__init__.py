"""Pure functions on cameras, rays, points and depth maps; any device, batched."""

from lyra.geometry.alignment import align_inverse_depth_affine, align_log_depth, align_non_rigid
from lyra.geometry.cameras import (
    compose,
    intrinsics_from_fov,
    invert_intrinsics,
    invert_rigid,
    look_at,
    require_rigid,
    rigid,
    transform_points,
)
from lyra.geometry.constants import FAR_DEPTH, NEAR_DEPTH
from lyra.geometry.fill import fill_nearest, fill_pyramid
from lyra.geometry.foreground import mask_occluded_by_edges
from lyra.geometry.point_cache import CacheConfig, CacheView, PointCache
from lyra.geometry.rays import camera_rays, plucker_rays
from lyra.geometry.reliability import reliable_mask
from lyra.geometry.splat import splat_points
from lyra.geometry.trajectories import (
    OFFICIAL_TRAJECTORIES,
    TRAJECTORY_NAMES,
    TrajectorySpec,
    plan_six,
    trajectory_c2w,
)
from lyra.geometry.unprojection import unproject

__all__ = [
    "FAR_DEPTH",
    "NEAR_DEPTH",
    "OFFICIAL_TRAJECTORIES",
    "TRAJECTORY_NAMES",
    "CacheConfig",
    "CacheView",
    "PointCache",
    "TrajectorySpec",
    "align_inverse_depth_affine",
    "align_log_depth",
    "align_non_rigid",
    "camera_rays",
    "compose",
    "fill_nearest",
    "fill_pyramid",
    "intrinsics_from_fov",
    "invert_intrinsics",
    "invert_rigid",
    "look_at",
    "mask_occluded_by_edges",
    "plan_six",
    "plucker_rays",
    "reliable_mask",
    "require_rigid",
    "rigid",
    "splat_points",
    "trajectory_c2w",
    "transform_points",
    "unproject",
]
