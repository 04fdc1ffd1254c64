"""Reads every input of ``lyra generate`` once before the networks are loaded, so that a wrong file costs no waiting."""

from pathlib import Path

import torch

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.io.camera_path import read_camera_path
from lyra.io.depth_file import read_depth
from lyra.io.images import nano_grid, read_photo
from lyra.pipeline import FRAMES, GenerateOptions
from lyra.stages import PerceiveConfig, require_plannable
from lyra.structures import Cameras

_ANY_FOV = 1.0  # radians; only stands in for a path file that gives no intrinsics


def require_readable_inputs(photo: Path, options: GenerateOptions) -> tuple[str, ...]:
    """Read the photo and the files beside it, and check the choices that go with them.

    Returns:
        What the user should know about the photo, a sentence each.

    Raises:
        InputError: whatever is wrong with the photo, the depth file, the camera file or a choice.
    """
    PerceiveConfig(options.fov)
    require_plannable(options.trajectories, options.strength)
    picture = read_photo(photo)
    height, width = nano_grid(picture.frames.width, picture.frames.height)
    if options.depth is not None:
        read_depth(options.depth, height, width)
    if options.cameras is not None:
        K = intrinsics_from_fov(torch.tensor([_ANY_FOV]), height, width)
        read_camera_path(options.cameras, Cameras(torch.eye(4)[None], K, height, width), FRAMES)
    return picture.notices
