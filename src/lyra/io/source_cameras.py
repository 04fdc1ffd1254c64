"""Cameras of a video from elsewhere: our own path files, COLMAP models, and the folders that ViPE writes."""

import zipfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from lyra.geometry import compose, invert_rigid, require_rigid
from lyra.io.camera_path import read_camera_path
from lyra.io.colmap_model import is_colmap_model, read_colmap_model
from lyra.io.files import reason, require_file
from lyra.io.images import PhotoFit
from lyra.structures import Cameras, InputError

_POSES, _INTRINSICS = "pose", "intrinsics"


@dataclass(frozen=True)
class SourceCameras:
    """Cameras of the T frames of a clip.

    Attributes:
        cameras: the first at the identity.
        scaled: whether lengths are scene units; if not, they are brought to the depth.
        intrinsics: whether the files gave them.
        words: a sentence for the user.
    """

    cameras: Cameras
    scaled: bool
    intrinsics: bool
    words: str


def read_source_cameras(path: Path | str, numbers: tuple[int, ...], fitted: Cameras, fit: PhotoFit) -> SourceCameras:
    """Read one camera for each frame of a clip.

    Files may hold a pose for each frame of the clip, or one for each frame of the video.

    Args:
        path: ``.json`` or ``.npz`` (`read_camera_path`, scene units), a COLMAP model (text or binary), or a folder of
            ViPE (``pose/*.npz``, ``intrinsics/*.npz``).
        numbers: of the frames of the clip in the video, from 0.
        fitted: one camera of the fitted pictures, which lends intrinsics where the files have none.
        fit: how frames of the video were fitted.

    Raises:
        InputError: nothing readable, another number of poses, or poses that are not rigid.
    """
    path = Path(path)
    if path.is_dir() and is_colmap_model(path):
        model = read_colmap_model(path)
        chosen = _chosen(len(model.names), numbers, f"COLMAP model {path}")
        K = torch.stack([_fitted(model.K[i], model.sizes[i], fit, fitted) for i in chosen])
        note = "" if model.distortion < 0.01 else "; its lens distortion is left out"
        return _result(model.c2w[chosen], K, fitted, False, f"cameras of the COLMAP model {path.name}{note}")
    if path.is_dir():
        return _read_vipe(path, numbers, fitted, fit)
    given = read_camera_path(path, fitted, None).cameras
    chosen = _chosen(len(given), numbers, f"camera file {path}")
    return _result(given.c2w[chosen].double(), given.K[chosen].double(), fitted, True, f"cameras of {path.name}")


def _read_vipe(folder: Path, numbers: tuple[int, ...], fitted: Cameras, fit: PhotoFit) -> SourceCameras:
    poses = sorted((folder / _POSES).glob("*.npz"))
    if len(poses) != 1:
        raise InputError(
            f"{folder} holds neither a COLMAP model nor one ViPE result ({len(poses)} files in {_POSES}/); give one"
        )
    c2w, stamps = _archive(poses[0], (4, 4))
    require_rigid(c2w, f"ViPE file {poses[0]}")
    chosen = _by_number(stamps, numbers, f"ViPE file {poses[0]}")
    lenses = folder / _INTRINSICS / poses[0].name
    K = fitted.K[:1].double().cpu().expand(len(numbers), 3, 3)
    if lenses.is_file():
        values, stamps = _archive(lenses, (4,))
        values = values[_by_number(stamps, numbers, f"ViPE file {lenses}")]
        size = (2 * values[0, 3], 2 * values[0, 2])  # ViPE's principal point is the middle of the picture
        full = torch.zeros(len(values), 3, 3, dtype=torch.float64)
        full[:, 0, 0], full[:, 1, 1], full[:, 0, 2], full[:, 1, 2] = values.T
        full[:, 2, 2] = 1
        K = torch.stack([_fitted(k, (float(size[0]), float(size[1])), fit, fitted) for k in full])
    words = f"cameras of the ViPE result {poses[0].stem}"
    return _result(c2w[chosen], K, fitted, False, words, lenses.is_file())


def _archive(path: Path, shape: tuple[int, ...]) -> tuple[Tensor, list[int]]:
    """``data`` [N, ...] and the frame numbers ``inds`` of an archive of ViPE."""
    require_file(path, "ViPE file")
    try:
        with np.load(path, allow_pickle=False) as archive:
            data, inds = np.asarray(archive["data"], np.float64), np.asarray(archive["inds"]).astype(int)
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise InputError(f"ViPE file {path} cannot be read ({reason(error)}); it needs 'data' and 'inds'") from error
    if data.shape[1:] != shape or len(data) != len(inds) or not np.isfinite(data).all() or len(data) == 0:
        raise InputError(f"ViPE file {path}: 'data' has the shape {list(data.shape)}; expected [N, {shape}], finite")
    return torch.from_numpy(data), inds.tolist()


def _chosen(count: int, numbers: tuple[int, ...], name: str) -> list[int]:
    """Which of ``count`` poses belong to the frames of the clip."""
    if count == len(numbers):
        return list(range(count))
    if count > numbers[-1] and count > len(numbers):
        return list(numbers)
    raise InputError(
        f"{name} has {count} poses, the clip has {len(numbers)} frames, the last of them number {numbers[-1]} of the "
        "video; give a pose for each frame of the clip, or for each frame of the video"
    )


def _by_number(stamps: list[int], numbers: tuple[int, ...], name: str) -> list[int]:
    place = {stamp: index for index, stamp in enumerate(stamps)}
    if all(number in place for number in numbers):
        return [place[number] for number in numbers]
    return _chosen(len(stamps), numbers, name)


def _fitted(K: Tensor, size: tuple[float, float], fit: PhotoFit, fitted: Cameras) -> Tensor:
    """Intrinsics of a picture of ``size`` (height, width), for pictures of the grid."""
    width = fit.photo_width
    to_video = width / size[1]
    out = K.clone()
    out[0] *= to_video * fit.scale_x
    out[1] *= to_video * fit.scale_y
    out[0, 2] += fit.offset_x
    out[1, 2] += fit.offset_y
    return out


def _result(
    c2w: Tensor, K: Tensor, fitted: Cameras, scaled: bool, words: str, intrinsics: bool = True
) -> SourceCameras:
    relative = compose(invert_rigid(c2w[:1]), c2w)
    cameras = Cameras(relative.float(), K.float(), fitted.height, fitted.width)
    return SourceCameras(cameras.to(fitted.c2w.device), scaled, intrinsics, words)
