"""Gaussians in ``.splat``, the 32-byte records of antimatter15's viewer: float32 position and scale, 8-bit the rest.

A record is position x y z and linear scales as little-endian float32, red, green, blue and opacity as bytes, and the
quaternion w x y z as bytes 128 + 128 q. There is no header. Axes stay those of OpenCV.
"""

from pathlib import Path

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.arrays import arrays_of, checked_gaussians
from lyra.io.formats.packing import rounded
from lyra.structures import Gaussians, InputError

_RECORD = np.dtype([("mean", "<f4", 3), ("scale", "<f4", 3), ("color", "u1", 4), ("quat", "u1", 4)])
_BLOCK = 1 << 14
_WHAT = "splat file"


def write_splat(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians, in their order.

    Raises:
        InputError: the place cannot be written.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_splat")
    with replacing(path, _WHAT) as temporary, temporary.open("wb") as file:
        for start in range(0, len(gaussians), _BLOCK):
            part = slice(start, start + _BLOCK)
            quats = arrays.quats[part]
            length = np.sqrt(np.einsum("ni,ni->n", quats, quats))[:, None]
            rows = np.empty(len(quats), _RECORD)
            rows["mean"] = arrays.means[part]
            rows["scale"] = arrays.scales[part]
            rows["color"][:, :3] = rounded(arrays.colors[part], 255)
            rows["color"][:, 3] = rounded(arrays.opacities[part], 255)
            rows["quat"] = np.clip(np.rint(quats / length * 128 + 128), 0, 255)
            file.write(rows.data)


def read_splat(path: Path | str) -> Gaussians:
    """Read Gaussians from a ``.splat`` file.

    Raises:
        InputError: missing or empty, its size is no multiple of 32 bytes, or no Gaussian in it.
    """
    path = require_file(path, _WHAT)
    try:
        size = path.stat().st_size
        if size % _RECORD.itemsize:
            raise InputError(
                f"{_WHAT} {path} has {size} bytes, no multiple of {_RECORD.itemsize}; fetch or export it again"
            )
        rows = np.fromfile(path, _RECORD)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    colors = rows["color"] * np.float32(1 / 255)
    return checked_gaussians(
        path,
        _WHAT,
        np.array(rows["mean"], np.float32),
        (rows["quat"].astype(np.float32) - 128) * np.float32(1 / 128),
        np.array(rows["scale"], np.float32),
        np.ascontiguousarray(colors[:, 3]),
        np.ascontiguousarray(colors[:, :3]),
    )
