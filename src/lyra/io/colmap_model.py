"""Camera poses of a COLMAP model: ``cameras`` and ``images``, as text or binary."""

import struct
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from lyra.io.files import reason, require_file
from lyra.structures import InputError

_MODELS: dict[str, tuple[int, int]] = {
    "SIMPLE_PINHOLE": (0, 3),
    "PINHOLE": (1, 4),
    "SIMPLE_RADIAL": (2, 4),
    "RADIAL": (3, 5),
    "OPENCV": (4, 8),
}
"""Number in binary files and number of parameters; the models that are pinholes with at most mild distortion."""
_ONE_FOCAL = ("SIMPLE_PINHOLE", "SIMPLE_RADIAL", "RADIAL")
_LARGEST_DISTORTION = 0.2


@dataclass(frozen=True)
class ColmapModel:
    """N images of a COLMAP model in the order of their names.

    Attributes:
        names: file names.
        c2w: [N, 4, 4] float64, OpenCV axes, in the model's own units.
        K: [N, 3, 3] float64 pixels.
        sizes: (height, width) of each image.
        distortion: the largest distortion parameter; it is not applied.
    """

    names: tuple[str, ...]
    c2w: Tensor
    K: Tensor
    sizes: tuple[tuple[int, int], ...]
    distortion: float


def is_colmap_model(folder: Path) -> bool:
    """Whether a folder, or its ``sparse/0`` or ``sparse``, holds a COLMAP model."""
    return _find(folder) is not None


def _find(folder: Path) -> tuple[Path, str] | None:
    for place in (folder, folder / "sparse" / "0", folder / "sparse"):
        for suffix in (".bin", ".txt"):
            if all((place / f"{name}{suffix}").is_file() for name in ("cameras", "images")):
                return place, suffix
    return None


def read_colmap_model(folder: Path) -> ColmapModel:
    """Read the cameras of a model; its points are not needed.

    Raises:
        InputError: no model, a damaged one, or one with lenses that are no pinholes.
    """
    found = _find(folder)
    if found is None:
        raise InputError(f"{folder} holds no COLMAP model (cameras and images, .bin or .txt); give its folder")
    place, suffix = found
    paths = [require_file(place / f"{name}{suffix}", "COLMAP file") for name in ("cameras", "images")]
    binary = suffix == ".bin"
    cameras = _read(_binary_cameras if binary else _text_cameras, paths[0])
    images = _read(_binary_images if binary else _text_images, paths[1])
    if not images:
        raise InputError(f"COLMAP file {paths[1]} names no image; give a model of the video's frames")
    images.sort(key=lambda image: image[0])
    names, quats, shifts, owners = zip(*images, strict=True)
    if any(owner not in cameras for owner in owners):
        raise InputError(f"COLMAP file {paths[1]} names cameras that {paths[0].name} lacks; export the model again")
    w2c = np.tile(np.eye(4), (len(images), 1, 1))
    w2c[:, :3, :3] = _rotations(np.array(quats), paths[1])
    w2c[:, :3, 3] = np.array(shifts)
    if not np.isfinite(w2c).all():
        raise InputError(f"COLMAP file {paths[1]} has poses that are not finite; export the model again")
    intrinsics = [cameras[owner] for owner in owners]
    return ColmapModel(
        tuple(names),
        torch.from_numpy(np.linalg.inv(w2c)),
        torch.stack([K for K, _, _ in intrinsics]),
        tuple(size for _, size, _ in intrinsics),
        max(abs(value) for _, _, value in intrinsics),
    )


_Read = TypeVar("_Read")


def _read(reader: Callable[[bytes, Path], _Read], path: Path) -> _Read:
    try:
        return reader(path.read_bytes(), path)
    except InputError:
        raise
    except (OSError, ValueError, IndexError, KeyError, struct.error) as error:
        raise InputError(f"COLMAP file {path} is damaged ({reason(error)}); export the model again") from error


_Camera = tuple[Tensor, tuple[int, int], float]
_Image = tuple[str, tuple[float, ...], tuple[float, ...], int]


def _camera(model: str, width: int, height: int, values: tuple[float, ...], path: Path) -> _Camera:
    if model not in _MODELS or len(values) != _MODELS[model][1]:
        raise InputError(
            f"COLMAP file {path} has a camera of the model {model}; undistort it, or use {', '.join(_MODELS)}"
        )
    if model in _ONE_FOCAL:
        fx, fy, cx, cy, *rest = values[0], *values
    else:
        fx, fy, cx, cy, *rest = values
    if not (fx > 0 and fy > 0 and width > 0 and height > 0):
        raise InputError(f"COLMAP file {path} has a camera without focal length or size; export the model again")
    distortion = max((abs(value) for value in rest), default=0.0)
    if distortion > _LARGEST_DISTORTION:
        raise InputError(f"COLMAP file {path}: the lens distorts too much ({distortion:.2f}); undistort the images")
    K = torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)
    return K, (height, width), distortion


def _binary_cameras(data: bytes, path: Path) -> dict[int, _Camera]:
    names = {number: name for name, (number, _) in _MODELS.items()}
    (count,), at = struct.unpack_from("<Q", data), 8
    cameras = {}
    for _ in range(min(count, len(data))):
        owner, model, width, height = struct.unpack_from("<iiQQ", data, at)
        at += 24
        name = names.get(model, f"number {model}")
        amount = _MODELS.get(name, (0, 0))[1]
        cameras[owner] = _camera(name, width, height, struct.unpack_from(f"<{amount}d", data, at), path)
        at += 8 * amount
    return cameras


def _binary_images(data: bytes, path: Path) -> list[_Image]:
    (count,), at = struct.unpack_from("<Q", data), 8
    images = []
    for _ in range(min(count, len(data))):
        _, *pose, owner = struct.unpack_from("<i7di", data, at)
        at += 64
        end = data.index(b"\0", at)
        name = data[at:end].decode("utf-8", "replace")
        (points,) = struct.unpack_from("<Q", data, end + 1)
        at = end + 9 + 24 * points
        images.append((name, tuple(pose[:4]), tuple(pose[4:]), owner))
    if at > len(data):
        raise InputError(f"COLMAP file {path} is cut off; export the model again")
    return images


def _lines(data: bytes) -> list[str]:
    return [line for line in data.decode("utf-8", "replace").splitlines() if not line.startswith("#")]


def _text_cameras(data: bytes, path: Path) -> dict[int, _Camera]:
    cameras = {}
    for line in _lines(data):
        if line.strip():
            owner, model, width, height, *values = line.split()
            cameras[int(owner)] = _camera(model, int(width), int(height), tuple(map(float, values)), path)
    return cameras


def _text_images(data: bytes, path: Path) -> list[_Image]:
    images = []
    for line in _lines(data)[::2]:  # every second line lists points, and may be empty
        if line.strip():
            _, *pose, owner, name = line.split(maxsplit=9)
            values = tuple(map(float, pose))
            images.append((name, values[:4], values[4:], int(owner)))
    return images


def _rotations(quats: np.ndarray, path: Path) -> np.ndarray:
    """[N, 3, 3] of quaternions w, x, y, z."""
    length = np.linalg.norm(quats, axis=1, keepdims=True)
    if not (np.abs(length - 1) < 0.05).all():
        raise InputError(f"COLMAP file {path} has rotations that are none; export the model again")
    w, x, y, z = (quats / length).T
    rows = [
        [1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)],
        [2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)],
        [2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)],
    ]
    return np.moveaxis(np.array(rows), 2, 0)
