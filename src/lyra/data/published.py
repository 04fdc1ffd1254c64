"""The data layout of the published generator (GEN3C in Lyra-1), read as it is and written as it is read there.

``<root>/<view>/`` holds for every clip ``rgb/<clip>.mp4`` (24 fps), ``pose/<clip>.npz`` (``data`` [T, 4, 4] c2w,
``inds`` [T] frame numbers), ``intrinsics/<clip>.npz`` (``data`` [T, 4] fx, fy, cx, cy in pixels, ``inds``),
``latent/<clip>.pkl`` (a NumPy array [1, C, t, h, w] saved by torch, normalised latents) and, where depth is known,
``depth/<clip>.zip`` (``00000.exr`` …, channel Z, half floats, z along the axis). The number of the view tells its
path: 0 left … 5 clockwise, and 6 … 11 the same paths of the scene played backwards.
"""

import io
import pickle
import re
import zipfile
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from lyra.data.corrupt import CorruptRecordError
from lyra.data.latent_space import LatentSpace
from lyra.geometry import OFFICIAL_TRAJECTORIES, require_rigid
from lyra.io.exr import read_exr, write_exr
from lyra.io.files import reason, replacing, require_file
from lyra.structures import Cameras, Frames, InputError, Latents, SceneRecord, Trajectory, Views

FPS = 24.0
REVERSED_VIEW = 6
"""First of the views that show the scene played backwards."""
_PATHS = tuple(spec.name for spec in OFFICIAL_TRAJECTORIES)
_DAMAGE = (
    OSError,
    ValueError,
    KeyError,
    IndexError,
    EOFError,
    RuntimeError,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)


class PublishedFolder:
    """The clips of one data root.

    Args:
        root: folder with the views ``0``, ``1``, … in it.
        space: the latent space that the clips are in; the layout does not say.
        first_view: 0 for the scenes, `REVERSED_VIEW` for those played backwards.

    Raises:
        InputError: there are no such views, or no clips in them.
    """

    def __init__(self, root: Path | str, space: LatentSpace, first_view: int = 0) -> None:
        self.folder, self.space = Path(root), space
        numbers = range(first_view, first_view + len(_PATHS))
        self.views = {_PATHS[n - first_view]: self.folder / str(n) for n in numbers if (self.folder / str(n)).is_dir()}
        if not self.views:
            raise InputError(
                f"{root} is no data folder: it has no view {first_view}; give the folder that holds 0, 1, …"
            )
        names = {path.stem for view in self.views.values() for path in (view / "rgb").glob("*.mp4")}
        if not names:
            raise InputError(
                f"data folder {root} is empty: no view has an rgb/*.mp4; give the folder that holds 0, 1, …"
            )
        self._names = tuple(sorted(names))

    def __len__(self) -> int:
        return len(self._names)

    def keys(self) -> tuple[str, ...]:
        """Names of the clips."""
        return self._names

    def read(self, key: str, rgb: bool = True) -> SceneRecord:
        """One clip of every view.

        Args:
            key: its name, one of `keys`.
            rgb: decode the pictures too; without it only the first one is, which is the source.

        Raises:
            CorruptRecordError: a file is missing, damaged, or does not fit the others.
            InputError: there is no such clip, or its latents have another number of channels than the space.
        """
        if key not in self._names:
            raise InputError(f"data folder {self.folder} has no clip {key}; known are {', '.join(self._names[:5])}")
        try:
            record = self._read(key, rgb)
        except CorruptRecordError:
            raise
        except InputError as fault:
            raise CorruptRecordError(str(fault)) from fault
        except (ValueError, RuntimeError) as fault:  # pictures, poses and depth of different sizes
            raise CorruptRecordError(f"clip {key} of {self.folder}: {fault}; export it again") from fault
        return replace(record, latents=replace(record.latents, z=self.space.denormalize(record.latents.z)))

    def _read(self, key: str, rgb: bool) -> SceneRecord:
        """The record with its latents as they are stored, normalised."""
        from lyra.io.video import read_video  # a store is read without a video library

        z, paths, clips, depths = [], [], [], []
        for name, view in self.views.items():
            first = read_video(view / "rgb" / f"{key}.mp4", frames=None if rgb else 1)
            c2w, K = read_poses(view / "pose" / f"{key}.npz"), read_intrinsics(view / "intrinsics" / f"{key}.npz")
            paths.append(Trajectory(name, Cameras(c2w, K, first.height, first.width)))
            z.append(_latent(view / "latent" / f"{key}.pkl"))
            clips.append((first.rgb * 255).round().to(torch.uint8))
            archive = view / "depth" / f"{key}.zip"
            depths.append(read_depth_archive(archive) if archive.exists() else None)
        source = clips[0][:1].float() / 255
        known = [depth for depth in depths if depth is not None]
        depth = torch.stack(known) if len(known) == len(depths) else None
        size = (1, *source.shape[2:])
        z_source = torch.zeros(size) if depth is None else depth[0, :1]
        return SceneRecord(
            key,
            Latents(torch.cat(z), tuple(paths), self.space.tokenizer),
            Views(Frames(source), z_source, z_source > 0, paths[0].cameras[0]),
            torch.stack(clips) if rgb else None,
            depth,
            None if depth is None else depth > 0,
            meta={"source": key},
        )


def read_published(root: Path | str, space: LatentSpace, first_view: int = 0) -> Iterator[SceneRecord]:
    """Every clip of a published data folder; a damaged one ends the reading (see `PublishedFolder` to leave it out).

    Raises:
        InputError: no such folder, or a clip is incomplete or damaged.
    """
    folder = PublishedFolder(root, space, first_view)
    yield from map(folder.read, folder.keys())


def write_published(root: Path | str, record: SceneRecord, space: LatentSpace, first_view: int = 0) -> None:
    """Write one record; the video, which makes it visible, comes last.

    Args:
        root: folder of the data; made where it is missing.
        record: with pictures; its depth is written where it has one.
        space: the space of its latents.
        first_view: 0, or `REVERSED_VIEW` for a record played backwards.

    Raises:
        InputError: no pictures, a path that is none of the six, or the place cannot be written.
    """
    from lyra.io.video import write_video

    if record.frames is None:
        raise InputError(f"record {record.key} has no pictures; synthesize it with --rgb")
    z = space.normalize(record.latents.z.cpu().float())
    for index, path in enumerate(record.latents.trajectories):
        if path.name not in _PATHS:
            raise InputError(f"record {record.key} has the path {path.name}; the layout knows {', '.join(_PATHS)}")
        view = Path(root) / str(first_view + _PATHS.index(path.name))
        cameras = path.cameras.to("cpu")
        inds = np.arange(len(cameras))
        K = cameras.K.float().numpy()
        four = np.stack([K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2]], axis=1)
        _save_npz(view / "pose" / f"{record.key}.npz", cameras.c2w.float().numpy(), inds)
        _save_npz(view / "intrinsics" / f"{record.key}.npz", four, inds)
        with replacing(view / "latent" / f"{record.key}.pkl", "latents") as temporary:
            torch.save(z[index : index + 1].numpy(), temporary)
        if record.depth is not None and record.mask is not None:
            write_depth_archive(
                view / "depth" / f"{record.key}.zip", torch.where(record.mask, record.depth, 0)[index].cpu()
            )
        write_video(view / "rgb" / f"{record.key}.mp4", record.frames[index].cpu(), FPS)


def read_poses(path: Path) -> Tensor:
    """[T, 4, 4] c2w of ``pose/<clip>.npz``.

    Raises:
        InputError: missing, damaged, or no rigid motions.
    """
    c2w = _load_npz(path, (4, 4))
    require_rigid(c2w, str(path))
    return c2w


def read_intrinsics(path: Path) -> Tensor:
    """[T, 3, 3] in pixels, of ``intrinsics/<clip>.npz``.

    Raises:
        InputError: missing, damaged, or no intrinsics.
    """
    four = _load_npz(path, (4,))
    if not bool(torch.isfinite(four).all() & (four[:, :2] > 0).all()):
        raise CorruptRecordError(f"intrinsics {path} are none; export them again")
    K = torch.eye(3).repeat(len(four), 1, 1)
    K[:, 0, 0], K[:, 1, 1], K[:, 0, 2], K[:, 1, 2] = four.T
    return K


def _load_npz(path: Path, shape: tuple[int, ...]) -> Tensor:
    """[T, *shape] float32 of an archive with ``data`` and ``inds``, in the order of the frame numbers 0 … T - 1."""
    require_file(path, "file")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            data, inds = archive["data"], archive["inds"]
    except _DAMAGE as error:
        raise CorruptRecordError(f"file {path} is damaged ({reason(error)}); export it again") from error
    if data.shape != (len(inds), *shape) or sorted(inds.tolist()) != list(range(len(inds))):
        raise CorruptRecordError(f"file {path} has no entry for each frame from 0 on; export it again")
    return torch.from_numpy(data[np.argsort(inds)].astype(np.float32))


def _save_npz(path: Path, data: np.ndarray, inds: np.ndarray) -> None:
    with replacing(path, "file") as temporary:
        np.savez(temporary, data=data, inds=inds)


def _latent(path: Path) -> Tensor:
    """[1, C, t, h, w] of a NumPy array (or tensor) that torch saved; nothing but arrays is unpickled."""
    require_file(path, "latents")
    try:
        with torch.serialization.safe_globals(_array_parts()):
            value = torch.load(path, map_location="cpu", weights_only=True)
    except _DAMAGE as error:
        raise CorruptRecordError(
            f"latents {path} are damaged or no array ({reason(error)}); export them again"
        ) from error
    z = torch.from_numpy(np.ascontiguousarray(value)) if isinstance(value, np.ndarray) else value
    if not isinstance(z, Tensor) or z.dim() != 5 or len(z) != 1 or not bool(torch.isfinite(z).all()):
        raise CorruptRecordError(f"latents {path} are no finite array [1, C, t, h, w]; export them again")
    return z.float()


def _array_parts() -> list[Any]:
    """What a pickled array of floats is made of, under the names of NumPy 1 and 2."""
    reconstruct = np.empty(0).__reduce__()[0]
    kinds = [type(np.dtype(kind)) for kind in ("float16", "float32", "float64")]
    names = ("numpy.core.multiarray._reconstruct", "numpy._core.multiarray._reconstruct")
    return [np.ndarray, np.dtype, *kinds, *((reconstruct, name) for name in names)]


def read_depth_archive(path: Path, wanted: Sequence[int] | None = None) -> Tensor:
    """[T, H, W] float32 z of ``depth/<clip>.zip``, 0 where it is not known.

    Args:
        path: the archive.
        wanted: which frames, in order; by default all.

    Raises:
        InputError: missing, damaged, or without a wanted frame.
    """
    frames = []
    try:
        with zipfile.ZipFile(require_file(path, "depth")) as archive:
            names = sorted(name for name in archive.namelist() if re.fullmatch(r"\d+\.exr", name))
            if wanted is not None:
                names = [names[number] for number in wanted]
            for name in names:
                frames.append(torch.from_numpy(read_exr(archive.read(name), "Z", f"{path}: {name}")))
        depth = torch.stack(frames)
    except InputError:
        raise
    except _DAMAGE as error:
        raise CorruptRecordError(f"depth {path} is damaged ({reason(error)}); export it again") from error
    return torch.where(torch.isfinite(depth) & (depth > 0), depth, 0.0)


def write_depth_archive(path: Path, depth: Tensor) -> None:
    """Write [T, H, W] z, 0 where it is not known, as half floats."""
    with replacing(path, "depth") as temporary, zipfile.ZipFile(temporary, "w") as archive:
        for frame, values in enumerate(depth):
            content = io.BytesIO(write_exr(values.float().numpy(), "Z")).getvalue()
            archive.writestr(zipfile.ZipInfo(f"{frame:05d}.exr"), content)
