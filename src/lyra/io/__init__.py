"""Files to values and back: photos, videos, depth, camera paths, Gaussians, scene folders.

The video functions are looked up at first use, so that training machines need no video library.
"""

from typing import Any

from lyra.io.camera_path import read_camera_path
from lyra.io.depth_file import read_depth
from lyra.io.gaussian_files import FORMATS, GaussianFormat, read_gaussians
from lyra.io.images import NANO_GRID, Photo, PhotoFit, fit_photo, nano_grid, read_photo, save_image
from lyra.io.ply import read_ply, write_ply
from lyra.io.scene_folder import (
    SceneFolder,
    cameras_from_json,
    cameras_to_json,
    load_scene,
    read_trajectories,
    save_scene,
    write_run,
)

__all__ = [
    "FORMATS",
    "NANO_GRID",
    "GaussianFormat",
    "Photo",
    "PhotoFit",
    "SceneFolder",
    "cameras_from_json",
    "cameras_to_json",
    "fit_photo",
    "load_scene",
    "nano_grid",
    "read_camera_path",
    "read_depth",
    "read_gaussians",
    "read_photo",
    "read_ply",
    "read_trajectories",
    "read_video",
    "save_image",
    "save_scene",
    "write_ply",
    "write_run",
    "write_video",
]


def __getattr__(name: str) -> Any:
    if name in ("read_video", "write_video"):
        from lyra.io import video

        return getattr(video, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
