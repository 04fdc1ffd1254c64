"""Reads every input of ``lyra generate`` once before the networks are loaded, so that a wrong file costs no waiting."""

from pathlib import Path

import torch

from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES
from lyra.io.camera_path import read_camera_path
from lyra.io.depth_file import read_depth
from lyra.io.images import read_photo
from lyra.pipeline import GenerateOptions
from lyra.preset import Preset, nano
from lyra.stages import PerceiveConfig
from lyra.structures import Cameras, InputError

_ANY_FOV = 1.0  # radians; only stands in for a path file that gives no intrinsics


def require_readable_inputs(photo: Path, options: GenerateOptions, preset: Preset | None = None) -> tuple[str, ...]:
    """Read the photo and the files beside it, and check the choices that go with them.

    Args:
        photo: the file.
        options: the choices.
        preset: sizes that belong to the networks, by default those of the embedded ones.

    Returns:
        What the user should know about the photo, a sentence each.

    Raises:
        InputError: whatever is wrong with the photo, the depth file, the camera file or a choice.
    """
    preset = preset or nano()
    PerceiveConfig(options.fov)
    known = [spec.name for spec in OFFICIAL_TRAJECTORIES]
    unknown = [name for name in options.trajectories or () if name not in known]
    if unknown:
        raise InputError(f"unknown trajectory '{unknown[0]}'; choose from {', '.join(known)}")
    if not 0 < options.strength <= 4:
        raise InputError(f"strength {options.strength:g} is outside 0…4; 1 is the published movement")
    picture = read_photo(photo)
    height, width = preset.grid(picture.frames.width, picture.frames.height)
    if options.depth is not None:
        read_depth(options.depth, height, width)
    if options.cameras is not None:
        K = intrinsics_from_fov(torch.tensor([_ANY_FOV]), height, width)
        read_camera_path(options.cameras, Cameras(torch.eye(4)[None], K, height, width), preset.frames)
    return picture.notices
