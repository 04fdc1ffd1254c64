"""The camera paths that ``lyra render`` knows by name, and the size of its video."""

from math import pi
from pathlib import Path

import torch
from torch import Tensor

from lyra.geometry.cameras import look_at
from lyra.geometry.tour import smooth_tour
from lyra.geometry.trajectories import TRAJECTORY_NAMES, trajectory_c2w
from lyra.io.camera_path import read_camera_path
from lyra.structures import Cameras, InputError

FRAMES = 48
CENTRE_DEPTH = 1.0
NAMED_STRENGTH = 0.3
ORBIT_REACH = 0.2
SPIRAL_RADII, SPIRAL_TURNS, SPIRAL_ADVANCE = (0.2, 0.08), 2, 0.25
"""Extents are in units of the scene's median depth and stay where the six imagined clips have seen the scene."""
LARGEST_VIDEO = 4096


def cameras_along(path: str, source: Cameras, frames: int | None, strength: float) -> Cameras:
    """The cameras of a video.

    Args:
        path: ``orbit`` (a closed sway around the source camera), ``spiral`` (outwards and forwards), trajectory
            names separated by commas (played one after the other), or a .json or .npz file with poses in the
            scene's coordinates.
        source: the scene's source camera (one frame).
        frames: T of a tour or of each named trajectory; ``None`` is 48, or all frames of a file.
        strength: factor on the extent, for everything but files.

    Raises:
        InputError: unknown path, no frames, an extent of zero or less, or whatever is wrong with the file.
    """
    if frames is not None and frames < 1:
        raise InputError(f"frames {frames} should be at least 1")
    if not 0 < strength <= 4:
        raise InputError(f"strength {strength:g} is outside 0…4")
    if Path(path).suffix.lower() in (".json", ".npz"):
        return read_camera_path(Path(path), source, frames, from_source=False).cameras
    count = frames or FRAMES
    if path == "orbit":
        return smooth_tour(source, count, ORBIT_REACH * strength, CENTRE_DEPTH)
    names = [name.strip().replace("-", "_") for name in path.split(",") if name.strip()]
    if path == "spiral":
        relative = _spiral(count, strength)
    elif names and all(name in TRAJECTORY_NAMES for name in names):
        relative = torch.cat([trajectory_c2w(name, count, NAMED_STRENGTH * strength, CENTRE_DEPTH) for name in names])
    else:
        known = ", ".join(("orbit", "spiral", *TRAJECTORY_NAMES))
        raise InputError(f"unknown path '{path}'; use {known}, or a .json or .npz file with cameras")
    c2w = source.c2w @ relative.to(source.c2w)
    return Cameras(c2w, source.K.expand(len(c2w), 3, 3).contiguous(), source.height, source.width)


def _spiral(count: int, strength: float) -> Tensor:
    """[T, 4, 4] c2w relative to the source camera: from its place outwards and forwards, facing the scene's centre."""
    share = torch.arange(count) / max(count - 1, 1)
    angle = 2 * pi * SPIRAL_TURNS * share
    x, y = (radius * share * wave for radius, wave in zip(SPIRAL_RADII, (angle.sin(), angle.cos()), strict=True))
    eye = strength * torch.stack([x, y, SPIRAL_ADVANCE * share], dim=-1)
    return look_at(eye, torch.tensor([0.0, 0.0, CENTRE_DEPTH]).expand_as(eye))


def video_size(source: Cameras, height: int | None, width: int | None) -> tuple[int, int]:
    """Height and width of the video: as asked, the missing one in proportion, both of the source camera by default.

    Raises:
        InputError: a size that is odd (video codecs need even ones), tiny or huge.
    """
    ratio = source.width / source.height
    if height is None and width is None:
        height, width = source.height, source.width
    elif height is None and width is not None:
        height = 2 * round(width / ratio / 2)
    elif width is None and height is not None:
        width = 2 * round(height * ratio / 2)
    assert height is not None and width is not None
    for name, size in (("height", height), ("width", width)):
        if size % 2 or not 16 <= size <= LARGEST_VIDEO:
            raise InputError(f"{name} {size} should be an even number between 16 and {LARGEST_VIDEO}")
    return height, width
