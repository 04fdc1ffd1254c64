"""Camera paths that the user brings."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry import compose, invert_rigid, require_rigid, rigid
from lyra.geometry.bundle import rotation_from_vector
from lyra.geometry.quaternions import quaternion_from_rotation
from lyra.io.files import require_file
from lyra.structures import Cameras, InputError, Trajectory

_FLIPPED_AXES = {"opencv": (1.0, 1.0, 1.0), "colmap": (1.0, 1.0, 1.0), "opengl": (1.0, -1.0, -1.0)}


def read_camera_path(
    path: Path | str, source: Cameras, frames: int | None = None, from_source: bool = True
) -> Trajectory:
    """Read a camera path from JSON or ``.npz``.

    Keys: ``c2w`` or ``w2c`` [T, 4, 4]; optionally ``intrinsics`` as [T, 3, 3] or [T, 4] (fx, fy, cx, cy) or one such
    entry for all frames, in pixels; ``height`` and ``width`` that they refer to (absent: those of the source);
    ``convention``: ``opencv`` (x right, y down, z forward; the default), ``colmap`` (the same axes) or ``opengl``
    (y up, z back). The key, not the convention, says which way the matrices go. Lengths are scene units, in which the
    median depth of the source picture is 1.

    Args:
        path: the file.
        source: the source camera (one frame); it gives size, and intrinsics where the file has none.
        frames: number of poses wanted; a path of another length is resampled evenly (positions linearly, rotations
            along the shortest arc, intrinsics linearly). None keeps the poses of the file.
        from_source: attach the path to the source camera, whatever its world was: only its motion relative to its
            first pose counts. False takes the poses as they are, in the coordinates of the scene.

    Returns:
        the trajectory, named after the file, at the size of the source, ``strength`` None.

    Raises:
        InputError: unreadable file; missing, contradictory or misshapen keys; poses that are not finite, mirrored,
            singular, scaled or sheared; intrinsics that are none.
    """
    path = require_file(path, "camera path")
    name = f"camera path {path}"
    content = _read_content(path)
    c2w = _read_poses(content, name)
    K = _read_intrinsics(content, name, len(c2w), source)
    if frames is not None and frames != len(c2w):
        c2w, K = _resampled(c2w, K, frames)
    if from_source:
        c2w = compose(source.c2w[:1].double().cpu(), compose(invert_rigid(c2w[:1]), c2w))
    cameras = Cameras(c2w.float(), K.float(), source.height, source.width)
    return Trajectory(path.stem, cameras.to(source.c2w.device))


def _read_content(path: Path) -> dict[str, Any]:
    try:
        match path.suffix.lower():
            case ".json":
                content = json.loads(path.read_text(encoding="utf-8"))
            case ".npz":
                with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                    content = {key: archive[key] for key in archive.files}
            case _:
                raise InputError(f"camera path {path} has the suffix {path.suffix!r}; use .json or .npz")
    except InputError:
        raise
    except (OSError, ValueError, EOFError, RecursionError, zipfile.BadZipFile) as error:
        raise InputError(f"camera path {path} cannot be parsed as {path.suffix}; write it again") from error
    if not isinstance(content, dict):
        raise InputError(f"camera path {path} should be one JSON object with the key 'c2w' or 'w2c'")
    return content


def _numbers(content: dict[str, Any], key: str, name: str) -> Tensor:
    try:
        array = np.asarray(content[key], dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise InputError(f"{name}: '{key}' is not a regular array of numbers; give all frames one shape") from error
    return torch.from_numpy(array.copy())


def _read_poses(content: dict[str, Any], name: str) -> Tensor:
    """[T, 4, 4] float64 c2w in OpenCV axes."""
    given = [key for key in ("c2w", "w2c") if key in content]
    if len(given) != 1:
        found = "both 'c2w' and 'w2c'" if given else "neither 'c2w' nor 'w2c'"
        raise InputError(f"{name} has {found}; give exactly one, [T, 4, 4]")
    poses = _numbers(content, given[0], name)
    if poses.dim() != 3 or poses.shape[1:] != (4, 4) or len(poses) == 0:
        raise InputError(f"{name}: '{given[0]}' has the shape {list(poses.shape)}; expected [T, 4, 4], T above 0")
    convention = str(content.get("convention", "opencv"))
    if convention not in _FLIPPED_AXES:
        raise InputError(f"{name}: convention {convention!r} is unknown; use {', '.join(_FLIPPED_AXES)}")
    require_rigid(poses, name)
    # files carry few decimals: take the nearest rotation
    left, _, right = torch.linalg.svd(poses[:, :3, :3])
    poses = rigid(left @ right, poses[:, :3, 3])
    if given[0] == "w2c":
        poses = invert_rigid(poses)
    axes = torch.tensor(_FLIPPED_AXES[convention], dtype=poses.dtype)
    return rigid(poses[:, :3, :3] * axes, poses[:, :3, 3])


def _read_intrinsics(content: dict[str, Any], name: str, count: int, source: Cameras) -> Tensor:
    """[T, 3, 3] float64 K in pixels of the source's size."""
    if "intrinsics" not in content:
        return source.K[:1].double().cpu().expand(count, 3, 3)
    given = _numbers(content, "intrinsics", name)
    if given.shape in ((3, 3), (4,)):
        given = given.expand(count, *given.shape)
    if given.shape == (count, 4):
        K = torch.zeros(count, 3, 3, dtype=given.dtype)
        K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = given.unbind(1)
        K[:, 2, 2] = 1
    elif given.shape == (count, 3, 3):
        K = given.clone()
    else:
        raise InputError(
            f"{name}: 'intrinsics' has the shape {list(given.shape)} for {count} poses; expected [{count}, 3, 3] or "
            f"[{count}, 4] (fx, fy, cx, cy)"
        )
    if not torch.isfinite(K).all():
        raise InputError(f"{name}: 'intrinsics' has entries that are not finite numbers; give pixels")
    last_row = torch.tensor([0.0, 0.0, 1.0], dtype=K.dtype)
    if (K[:, 2] != last_row).any() or (K[:, 0, 0] <= 0).any() or (K[:, 1, 1] <= 0).any() or (K[:, 1, 0] != 0).any():
        raise InputError(f"{name}: 'intrinsics' are no pinhole matrices; fx and fy must be above 0, the last row 0 0 1")
    for row, key, size in ((0, "width", source.width), (1, "height", source.height)):
        if key in content:
            stated = _numbers(content, key, name)
            if stated.numel() != 1 or not stated.item() > 0 or not torch.isfinite(stated).all():
                raise InputError(f"{name}: '{key}' should be one number of pixels above 0")
            K[:, row] *= size / stated.item()
    return K


def _resampled(c2w: Tensor, K: Tensor, frames: int) -> tuple[Tensor, Tensor]:
    """``frames`` poses and intrinsics at even steps along the path."""
    place = torch.linspace(0, len(c2w) - 1, frames, dtype=c2w.dtype)
    before = place.floor().long()
    after = (before + 1).clamp(max=len(c2w) - 1)
    share = (place - before)[:, None]
    start, end = c2w[before], c2w[after]
    position = torch.lerp(start[:, :3, 3], end[:, :3, 3], share)
    turn = _rotation_vector(start[:, :3, :3].mT @ end[:, :3, :3]) * share
    rotation = start[:, :3, :3] @ rotation_from_vector(turn)
    return rigid(rotation, position), torch.lerp(K[before], K[after], share[..., None])


def _rotation_vector(rotation: Tensor) -> Tensor:
    """[T, 3] axis times angle of [T, 3, 3] rotations."""
    quaternion = quaternion_from_rotation(rotation)
    quaternion = torch.where(quaternion[:, :1] < 0, -quaternion, quaternion)
    vector = quaternion[:, 1:]
    angle = 2 * torch.atan2(vector.norm(dim=1), quaternion[:, 0])
    return F.normalize(vector, dim=1) * angle[:, None]
