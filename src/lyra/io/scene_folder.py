"""Scenes on disk: a folder that appears complete or not at all."""

import json
import os
import secrets
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any

import torch

from lyra.geometry import intrinsics_from_fov, require_rigid
from lyra.io.files import reason, replacing, require_file
from lyra.io.gaussian_files import read_gaussians
from lyra.io.ply import read_ply, write_ply
from lyra.structures import Cameras, InputError, Scene, Trajectory

RUN_FILE = "run.json"
CAMERAS_FILE = "cameras.json"
SCENE_FILE = "scene.ply"
FRAMES_FOLDER = "frames"
_FORMAT = "lyra-scene"
_VERSION = 1
_AXES = "opencv: x right, y down, z forward"
_UNITS = "lengths in scene units (median depth of the source picture is 1), intrinsics in pixels"
_BARE_FOV = 1.0
_BARE_SIZE = (256, 448)


class SceneFolder:
    """Context manager that fills a hidden folder beside the target and renames it to the target on success.

    Inside the block write to ``folder.path``. On any exception, KeyboardInterrupt included, the hidden folder is
    removed and the target stays as it was.

    Args:
        target: folder to make; missing parents are made (and removed again on failure).
        overwrite: replace an existing folder, provided that it was written by this class (it holds ``run.json``).

    Raises:
        InputError: on entering, if the target is a file, a folder that is not empty (without ``overwrite``, or not one
            of ours), or its place cannot be written; on leaving, if the renaming fails.
    """

    path: Path

    def __init__(self, target: Path | str, overwrite: bool = False) -> None:
        self.target = Path(target)
        self.overwrite = overwrite
        self._made: list[Path] = []

    def __enter__(self) -> "SceneFolder":
        try:
            self.target = self.target.resolve()
            self._check_target()
            self._make_parents()
            self.path = self._sibling("partial")
            self.path.mkdir()
        except OSError as error:
            self._remove_made()
            raise InputError(f"cannot write {self.target} ({reason(error)}); choose another place") from error
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                if not (self.path / RUN_FILE).exists():
                    write_run(self.path, {})
                self._move_into_place()
        except OSError as fault:
            raise InputError(f"cannot write {self.target} ({reason(fault)}); choose another place") from fault
        finally:
            shutil.rmtree(self.path, ignore_errors=True)
            self._remove_made()

    def check(self) -> None:
        """Refuse a target that may not be written, before the work begins.

        Raises:
            InputError: as on entering.
        """
        self.target = self.target.resolve()
        self._check_target()

    def _check_target(self) -> None:
        if not self.target.exists():
            return
        if not self.target.is_dir():
            raise InputError(f"{self.target} is a file; give the name of a folder")
        if not any(self.target.iterdir()):
            return
        if not self.overwrite:
            raise InputError(f"{self.target} exists and is not empty; choose another name or allow overwriting")
        if not (self.target / RUN_FILE).is_file():
            raise InputError(f"{self.target} has no {RUN_FILE}, so it is not ours to overwrite; choose another name")

    def _make_parents(self) -> None:
        missing = [parent for parent in self.target.parents if not parent.exists()]
        for parent in reversed(missing):
            parent.mkdir()
            self._made.append(parent)

    def _remove_made(self) -> None:
        """Take back the parents made here that stayed empty."""
        for parent in reversed(self._made):
            try:
                parent.rmdir()
            except OSError:  # it holds the finished folder, or somebody else's files
                break
        self._made = []

    def _sibling(self, purpose: str) -> Path:
        return self.target.with_name(f".{self.target.name}.{purpose}-{secrets.token_hex(4)}")

    def _move_into_place(self) -> None:
        if not self.target.exists() or not any(self.target.iterdir()):
            os.rename(self.path, self.target)  # an empty folder is replaced
            return
        self._check_target()  # something may have appeared since the start
        old = self._sibling("old")
        os.rename(self.target, old)
        try:
            os.rename(self.path, self.target)
        except BaseException:
            os.rename(old, self.target)
            raise
        shutil.rmtree(old, ignore_errors=True)


def write_run(folder: Path, values: dict[str, Any]) -> None:
    """Write ``run.json`` of a scene folder, or add ``values`` to the one that is there; it marks the folder as ours."""
    path = folder / RUN_FILE
    run = _read_json(path) if path.exists() else {"format": _FORMAT, "version": _VERSION}
    _write_json(path, {**run, **values})


def cameras_to_json(cameras: Cameras) -> dict[str, Any]:
    """Cameras as plain JSON values, with axes and units in words."""
    return {
        "axes": _AXES,
        "units": _UNITS,
        "convention": "opencv",
        "height": cameras.height,
        "width": cameras.width,
        "c2w": cameras.c2w.detach().cpu().tolist(),
        "intrinsics": cameras.K.detach().cpu().tolist(),
    }


def cameras_from_json(values: dict[str, Any], name: str = CAMERAS_FILE) -> Cameras:
    """The inverse of `cameras_to_json`; ``name`` is what messages call the values.

    Raises:
        InputError: keys are missing, shapes do not fit, or a pose is not rigid.
    """
    try:
        cameras = Cameras(
            torch.tensor(values["c2w"], dtype=torch.float32),
            torch.tensor(values["intrinsics"], dtype=torch.float32),
            int(values["height"]),
            int(values["width"]),
        )
    except KeyError as error:
        raise InputError(f"{name} lacks {error}; export the scene again") from error
    except (TypeError, ValueError) as error:
        raise InputError(f"{name} does not hold cameras ({reason(error)}); export the scene again") from error
    require_rigid(cameras.c2w, name)
    if not torch.isfinite(cameras.K).all() or min(cameras.height, cameras.width) < 1:
        raise InputError(f"{name} has intrinsics or a size that are none; export the scene again")
    return cameras


def save_scene(folder: Path | SceneFolder, scene: Scene) -> None:
    """Write a scene into an existing folder.

    A static scene becomes ``scene.ply``; one with several times ``frames/000.ply`` … and ``scene.ply``, which then is
    the middle time. ``cameras.json`` holds the source camera and the times, ``run.json`` the provenance.

    Raises:
        InputError: the folder cannot be written.
    """
    root = folder.path if isinstance(folder, SceneFolder) else folder
    write_ply(root / SCENE_FILE, scene.gaussians[len(scene.gaussians) // 2])
    if len(scene.gaussians) > 1:
        for index, gaussians in enumerate(scene.gaussians):
            write_ply(root / FRAMES_FOLDER / f"{index:03d}.ply", gaussians)
    _write_json(root / CAMERAS_FILE, {**cameras_to_json(scene.source), "times": list(scene.times)})
    write_run(root, {"provenance": scene.provenance})


def load_scene(path: Path | str) -> Scene:
    """Read a scene folder, or a single file of Gaussians in any format that `lyra.io.read_gaussians` knows.

    A bare file comes with the camera at the origin that looks along z with a field of view of one radian.

    Raises:
        InputError: nothing there, or files are missing or damaged.
    """
    path = Path(path)
    if not path.is_dir():
        gaussians = read_gaussians(path)
        height, width = _BARE_SIZE
        camera = Cameras(torch.eye(4)[None], intrinsics_from_fov(_BARE_FOV, height, width)[None], height, width)
        return Scene((gaussians,), camera, provenance={"file": path.name})
    if not (path / SCENE_FILE).exists():
        raise InputError(f"{path} is not a scene folder: it has no {SCENE_FILE}; give the folder that lyra wrote")
    cameras = _read_json(path / CAMERAS_FILE)
    times = cameras.get("times", [0.0])
    if not isinstance(times, list) or not times or not all(isinstance(time, int | float) for time in times):
        raise InputError(f"{path / CAMERAS_FILE}: 'times' should be a list of seconds; export the scene again")
    files = [path / SCENE_FILE]
    if len(times) > 1:
        files = [path / FRAMES_FOLDER / f"{index:03d}.ply" for index in range(len(times))]
    run = _read_json(path / RUN_FILE) if (path / RUN_FILE).exists() else {}
    provenance = run.get("provenance", {})
    return Scene(
        tuple(read_ply(file) for file in files),
        cameras_from_json(cameras, str(path / CAMERAS_FILE)),
        tuple(float(time) for time in times),
        provenance if isinstance(provenance, dict) else {},
    )


def read_trajectories(folder: Path | str) -> tuple[Trajectory, ...]:
    """The camera paths that a scene folder was made along, from its ``cameras.json``; none if it names none.

    Raises:
        InputError: the file is missing or damaged.
    """
    path = Path(folder) / CAMERAS_FILE
    paths = _read_json(path).get("trajectories", {})
    if not isinstance(paths, dict) or not all(isinstance(values, dict) for values in paths.values()):
        raise InputError(f"{path}: 'trajectories' should map names to cameras; export the scene again")
    return tuple(
        Trajectory(name, cameras_from_json(values, f"{path}: trajectory '{name}'"), values.get("strength"))
        for name, values in paths.items()
    )


def _read_json(path: Path) -> dict[str, Any]:
    require_file(path, "file")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"file {path} is not readable JSON; export the scene again") from error
    if not isinstance(values, dict):
        raise InputError(f"file {path} should hold one JSON object; export the scene again")
    return values


def _write_json(path: Path, values: dict[str, Any]) -> None:
    with replacing(path, "file") as temporary:
        temporary.write_text(json.dumps(values, indent=1) + "\n", encoding="utf-8")
