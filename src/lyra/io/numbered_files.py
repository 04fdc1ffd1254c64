"""A moving scene as a folder of numbered PLY files, one per time, with the times and the source camera beside them."""

import json
from pathlib import Path

from lyra.io.files import reason, replacing, require_file
from lyra.io.ply import read_ply, write_ply
from lyra.io.scene_folder import CAMERAS_FILE, cameras_to_json
from lyra.structures import Gaussians, InputError, Scene

_FEWEST_DIGITS = 3


def write_numbered(folder: Path, scene: Scene) -> None:
    """Write ``000.ply``, ``001.ply`` … and ``cameras.json`` into a new folder.

    Raises:
        InputError: one time only, or the folder exists or cannot be made.
    """
    count = len(scene.times)
    if count < 2:
        raise InputError(f"cannot write frames {folder}: the scene has one time only; write it as ply, spz or glb")
    try:
        folder.mkdir()
    except OSError as error:
        raise InputError(f"cannot write frames {folder} ({reason(error)}); choose another place") from error
    digits = max(_FEWEST_DIGITS, len(str(count - 1)))
    for index, gaussians in enumerate(scene.gaussians):
        write_ply(folder / f"{index:0{digits}d}.ply", gaussians)
    record = {**cameras_to_json(scene.source), "times": list(scene.times)}
    with replacing(folder / CAMERAS_FILE, "file") as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def read_numbered(folder: Path) -> tuple[tuple[Gaussians, ...], tuple[float, ...]]:
    """The sets of Gaussians of such a folder, in the order of their numbers, and their times.

    Raises:
        InputError: no numbered PLY files, one is damaged, or as many times are not given.
    """
    files = sorted(each for each in folder.glob("*.ply") if each.stem.isdecimal())
    if not files:
        raise InputError(f"{folder} holds no numbered .ply files; give the folder that lyra export wrote")
    path = require_file(folder / CAMERAS_FILE, "file")
    try:
        times = json.loads(path.read_text(encoding="utf-8"))["times"]
        if len(times) != len(files):
            raise ValueError("not one for each file")
        seconds = tuple(float(time) for time in times)
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise InputError(f"{path} does not hold the times ({reason(error)}); export the scene again") from error
    return tuple(map(read_ply, files)), seconds
