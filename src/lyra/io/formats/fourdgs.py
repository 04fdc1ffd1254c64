"""Moving scenes in ``.4dgs``, the container of the package fourdgs (extra ``4dgs``), which only this module imports.

Every set of Gaussians is valid from its time to that of the next; a Gaussian that stays the same from one set to the
next is stored once. Axes are x right, y up, z towards the viewer, the format's ``y-up-right-handed``; one scene unit is
one metre.
"""

import importlib.util
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.arrays import arrays_of, checked_gaussians
from lyra.io.formats.axes import turned_positions, turned_rotations
from lyra.structures import Gaussians, InputError, Scene

_PROFILE = "fine"
_METADATA = {"coordinate_system": "y-up-right-handed", "color_space": "srgb-rec709-display"}
_TIMES = "lyra:times"
_XYZW, _WXYZ = [1, 2, 3, 0], [3, 0, 1, 2]
_WHAT = "4DGS file"


def require_fourdgs(path: Path | str) -> None:
    """Refuse to go on without the package.

    Raises:
        InputError: it is not installed; the message has the line that installs it.
    """
    if importlib.util.find_spec("fourdgs") is None:
        raise InputError(f"{_WHAT} {path} needs the package fourdgs; pip install 'lyra-scenes[4dgs]'")


def write_4dgs(path: Path | str, scene: Scene) -> None:
    """Write a scene of several times, and its source camera.

    The package quantises and verifies its own bounds: position to a fiftieth of the median size, size to 0.5 %,
    rotation to 0.0005, colour and opacity to 8 bits.

    Raises:
        InputError: one time only, times that do not rise, the place cannot be written, or fourdgs is missing.
        ValueError: a set is empty, or a value is not finite.
    """
    require_fourdgs(path)
    times = scene.times
    if len(times) < 2:
        raise InputError(f"cannot write {_WHAT} {path}: the scene has one time only; write it as ply, spz or glb")
    if any(after <= before for before, after in zip(times[:-1], times[1:], strict=True)):
        raise InputError(f"cannot write {_WHAT} {path}: its times do not rise; mend 'times' in cameras.json")
    import fourdgs

    shifted = [time - times[0] for time in times]
    ends = [*shifted[1:], shifted[-1] + (shifted[-1] - shifted[-2])]
    columns, born, dies = _merged([_table(gaussians) for gaussians in scene.gaussians])
    start, end = np.array(shifted)[born], np.array(ends)[dies]
    count = len(columns)
    everything = fourdgs.GaussianSet(
        positions=columns[:, 0:3],
        scales=columns[:, 3:6],
        rotations=columns[:, 6:10],
        colors=columns[:, 10:14],
        motions=np.zeros((count, 3), np.float32),
        mu_t=start.astype(np.float32),
        sigma_t=np.full(count, np.inf, np.float32),
        win_lo=start,
        win_hi=end,
    )
    metadata = {**_METADATA, _TIMES: " ".join(map(repr, times))}
    options = fourdgs.WriteOptions(profile=_PROFILE, metadata=metadata, library="lyra")
    with replacing(path, _WHAT) as temporary:
        fourdgs.write(str(temporary), everything, ends[-1], options=options, camera=_camera(scene))


def _camera(scene: Scene) -> Any:
    import fourdgs

    c2w, K = scene.source.c2w[0].double().numpy(), scene.source.K[0].double()
    eye, ahead = c2w[:3, 3], c2w[:3, 3] + c2w[:3, 2]
    fov = np.degrees(2 * np.arctan(scene.source.height / (2 * float(K[1, 1]))))
    position, target = (tuple(turned_positions(point.astype(np.float32)).tolist()) for point in (eye, ahead))
    return fourdgs.CameraTrajectory(fov_y_deg=float(fov), position=position, target=target)


def _table(gaussians: Gaussians) -> np.ndarray:
    """[N, 14] float32 in the axes of the file: position, scale, rotation x y z w, colour, opacity."""
    arrays = arrays_of(gaussians, "write_4dgs")
    return np.concatenate(
        [
            turned_positions(arrays.means),
            arrays.scales,
            turned_rotations(arrays.quats)[:, _XYZW],
            arrays.colors.clip(0, 1),
            arrays.opacities.clip(0, 1)[:, None],
        ],
        axis=1,
    )


def _merged(tables: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows that do not change from one table to the next, once.

    Returns:
        rows [M, 14], and for each the indices of the first and of the last table that it is in, [M] each.
    """
    rows: list[np.ndarray] = []
    born: list[np.ndarray] = []
    dies: list[np.ndarray] = []
    alive, since = tables[0], np.zeros(len(tables[0]), int)
    for index, table in enumerate([*tables[1:], None], start=1):
        same = np.zeros(len(alive), bool)
        if table is not None and table.shape == alive.shape:
            same = (table == alive).all(axis=1)
        rows.append(alive[~same])
        born.append(since[~same])
        dies.append(np.full(int((~same).sum()), index - 1))
        if table is not None:
            since = np.where(same, since, index) if len(same) == len(table) else np.full(len(table), index)
            alive = table
    return np.concatenate(rows), np.concatenate(born), np.concatenate(dies)


def read_4dgs(path: Path | str) -> tuple[tuple[Gaussians, ...], tuple[float, ...]]:
    """Read the sets of Gaussians of a ``.4dgs`` file and their times in seconds.

    A file of ours says its times. Another is looked at whenever some of its Gaussians begin to be valid.

    Raises:
        InputError: missing, empty, damaged, in axes that are not known, without Gaussians at a time, or fourdgs is
            missing.
    """
    path = require_file(path, _WHAT)
    require_fourdgs(path)
    import fourdgs

    damage = (ValueError, KeyError, IndexError, OverflowError, EOFError, MemoryError, struct.error, zlib.error)
    try:
        file = fourdgs.read(path.read_bytes(), recover_truncated=False)
        metadata = dict(file.header.attributes)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    except (fourdgs.FourdgsError, *damage) as error:
        raise InputError(f"{_WHAT} {path} is damaged ({reason(error)}); fetch or export it again") from error
    if metadata.get("coordinate_system", _METADATA["coordinate_system"]) != _METADATA["coordinate_system"]:
        raise InputError(f"{_WHAT} {path} has axes {metadata['coordinate_system']}; convert it to y up, right-handed")
    starts = np.unique(file.gaussians.win_lo)
    starts = starts[np.isfinite(starts)] if np.isfinite(starts).any() else np.zeros(1)
    try:
        times = tuple(float(word) for word in metadata.get(_TIMES, "").split())
    except ValueError:
        times = ()
    if times and np.isfinite(times).all():
        starts = np.array(times) - times[0]
    else:
        times = tuple(starts.tolist())
    return tuple(_at(path, file, float(start)) for start in starts), times


def _at(path: Path, file: Any, time: float) -> Gaussians:
    state, everything = file.state_at(time), file.gaussians
    index = state["indices"]
    if len(index) == 0:
        raise InputError(f"{_WHAT} {path} holds no Gaussians at {time:g} s; export it again")
    return checked_gaussians(
        path,
        _WHAT,
        turned_positions(state["centers"].astype(np.float32)),
        turned_rotations(state["orientations"].astype(np.float32)[:, _WXYZ]),
        everything.scales[index].astype(np.float32),
        state["opacity"].astype(np.float32),
        np.ascontiguousarray(everything.colors[index, :3], np.float32),
    )
