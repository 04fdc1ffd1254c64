"""The camera paths that a scene folder was imagined along."""

import json
from pathlib import Path

from lyra.io.files import reason, require_file
from lyra.io.scene_folder import CAMERAS_FILE, cameras_from_json
from lyra.structures import InputError, Trajectory


def read_trajectories(folder: Path | str) -> tuple[Trajectory, ...]:
    """The trajectories in ``cameras.json`` of a scene folder; none if it names none.

    Raises:
        InputError: the file is missing, unreadable, or what it calls trajectories is not.
    """
    path = require_file(Path(folder) / CAMERAS_FILE, "file")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise InputError(f"file {path} is not readable JSON ({reason(error)}); export the scene again") from error
    paths = values.get("trajectories", {}) if isinstance(values, dict) else None
    if not isinstance(paths, dict) or not all(isinstance(each, dict) for each in paths.values()):
        raise InputError(f"{path}: 'trajectories' should be an object of camera paths; export the scene again")
    trajectories = []
    for name, each in paths.items():
        strength = each.get("strength")
        cameras = cameras_from_json(each, f"{path}, trajectory {name}")
        trajectories.append(Trajectory(name, cameras, strength if isinstance(strength, int | float) else None))
    return tuple(trajectories)
