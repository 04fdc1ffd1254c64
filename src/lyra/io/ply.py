"""Gaussians in the INRIA layout of PLY, written and read with numpy alone.

Stored are opacity as logit, scales as natural logs, colour as the degree-0 spherical harmonic coefficient. Axes stay
those of OpenCV.
"""

import logging
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.archive import open_archive
from lyra.io.formats.arrays import SH_C0, arrays_of, checked_gaussians
from lyra.io.formats.ply_header import PlyElement, PlyHeader, read_ply_header
from lyra.structures import Gaussians, InputError

_PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
_NORMALS = ("nx", "ny", "nz")
_SMALLEST_OPACITY = np.float32(1e-12)
_LARGEST_OPACITY = np.float32(1 - 2**-24)
_SMALLEST_SCALE = np.float32(1e-30)
_CHUNK = 1 << 16
_CHUNK_BYTES = 1 << 23
_LARGEST_PICKLE = 1 << 16
_WHAT = "PLY file"
_log = logging.getLogger(__name__)


def write_ply(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians as binary PLY (17 float32 per Gaussian, normals 0).

    Opacities are kept a float32 step inside 0…1, scales above 1e-30, so that logit and log are finite.

    Raises:
        InputError: the place cannot be written.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_ply")
    count = len(gaussians)
    properties = "".join(f"property float {name}\n" for name in _PROPERTIES)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
    with replacing(path, _WHAT) as temporary, temporary.open("wb") as file:
        file.write(header.encode("ascii"))
        # a chunk stays in the cache between filling its columns and writing it
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            opacity = np.clip(arrays.opacities[part], _SMALLEST_OPACITY, _LARGEST_OPACITY)
            table = np.zeros((len(opacity), len(_PROPERTIES)), "<f4")
            table[:, 0:3] = arrays.means[part]
            table[:, 6:9] = (arrays.colors[part] - np.float32(0.5)) * np.float32(1 / SH_C0)
            table[:, 9] = np.log(opacity) - np.log(1 - opacity)
            table[:, 10:13] = np.log(np.maximum(arrays.scales[part], _SMALLEST_SCALE))
            table[:, 13:17] = arrays.quats[part]
            file.write(table.data)


def read_ply(path: Path | str) -> Gaussians:
    """Read Gaussians from a PLY file, or from the tensor dump that Lyra-1 names ``.ply``.

    Binary of either byte order, or text; properties in any order and number type; normals may be missing. Higher
    spherical harmonics are ignored and values that are not finite are left out; both are reported through `logging`.
    Quaternions are normalised, colours clamped to 0…1.

    Raises:
        InputError: missing, empty, damaged or cut off; a compressed PLY; not a PLY of Gaussians; no Gaussian in it.
    """
    path = require_file(path, _WHAT)
    try:
        with path.open("rb") as file:
            if file.read(2) == b"PK":
                return _read_tensor_dump(path)
            header = read_ply_header(path, file)
            vertex = _gaussian_element(path, header)
            return _read_vertices(path, file, header, vertex)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error


def _gaussian_element(path: Path, header: PlyHeader) -> PlyElement:
    vertex = header.find("vertex")
    if vertex is None or (not header.text and header.offset(vertex) is None):
        raise InputError(f"{_WHAT} {path} holds no plain 'vertex' element; give a PLY file of Gaussians")
    if "packed_position" in vertex.names:
        raise InputError(f"{_WHAT} {path} is a compressed PLY; read it with lyra.io.read_gaussians")
    missing = [name for name in _PROPERTIES if name not in vertex.names and name not in _NORMALS]
    if missing:
        raise InputError(f"{_WHAT} {path} lacks {', '.join(missing)}; give a PLY file of 3D Gaussians")
    if vertex.count == 0:
        raise InputError(f"{_WHAT} {path} holds no Gaussians; export it again")
    ignored = sum(name.startswith("f_rest_") for name in vertex.names)
    if ignored:
        _log.warning("%s: %d view-dependent colour coefficients (f_rest) are ignored", path, ignored)
    return vertex


def _read_vertices(path: Path, file: BinaryIO, header: PlyHeader, vertex: PlyElement) -> Gaussians:
    _go_to_vertices(path, file, header, vertex)
    means, colors, scales = (np.empty((vertex.count, 3), np.float32) for _ in range(3))
    quats, opacities = np.empty((vertex.count, 4), np.float32), np.empty(vertex.count, np.float32)
    parts = _text_parts if header.text else _binary_parts
    start = 0
    # float64 and exponentials may overflow; what is not finite is left out in the end
    with np.errstate(over="ignore", invalid="ignore"):
        for rows in parts(path, file, vertex):
            part = slice(start, start + len(rows["x"]))
            for axis in range(3):
                means[part, axis] = rows["xyz"[axis]]
                colors[part, axis] = rows[f"f_dc_{axis}"]
                scales[part, axis] = rows[f"scale_{axis}"]
            for axis in range(4):
                quats[part, axis] = rows[f"rot_{axis}"]
            opacities[part] = rows["opacity"]
            np.exp(scales[part], out=scales[part])
            opacities[part] = 1 / (1 + np.exp(-opacities[part]))
            start = part.stop
        colors *= np.float32(SH_C0)
        colors += np.float32(0.5)
    return checked_gaussians(path, _WHAT, means, quats, scales, opacities, colors)


def _go_to_vertices(path: Path, file: BinaryIO, header: PlyHeader, vertex: PlyElement) -> None:
    """Move to the first vertex, if the file is long enough to hold them all."""
    if header.text:
        file.seek(header.size)
        for element in header.elements[: header.elements.index(vertex)]:
            for _ in islice(file, element.count):
                pass
        # a number takes two bytes at least, and the last line may lack its end
        place, smallest, spare = file.tell(), 2 * len(vertex.names), 1
    else:
        assert vertex.record is not None
        place, smallest, spare = header.offset(vertex) or 0, vertex.record.itemsize, 0
    available = max(0, path.stat().st_size - place + spare)
    if vertex.count * smallest > available:
        raise _cut_off(path, available // smallest, vertex.count)
    file.seek(place)


def _binary_parts(path: Path, file: BinaryIO, vertex: PlyElement) -> Iterator[np.ndarray]:
    """Runs of vertices as structured arrays."""
    assert vertex.record is not None
    size = vertex.record.itemsize
    step = max(1, min(_CHUNK, _CHUNK_BYTES // size))
    for start in range(0, vertex.count, step):
        yield np.frombuffer(file.read(min(step, vertex.count - start) * size), vertex.record)


def _text_parts(path: Path, file: BinaryIO, vertex: PlyElement) -> Iterator[dict[str, np.ndarray]]:
    """Runs of vertices as columns by the name of their property."""
    columns = len(vertex.names)
    for start in range(0, vertex.count, _CHUNK):
        number = min(_CHUNK, vertex.count - start)
        lines = [line.decode("latin-1") for line in islice(file, number)]
        if len(lines) < number:
            raise _cut_off(path, start + len(lines), vertex.count)
        crooked = InputError(f"{_WHAT} {path} has lines that are not {columns} numbers; export it in binary form")
        if any(line.isspace() for line in lines):
            raise crooked
        try:
            table = np.loadtxt(lines, dtype=np.float64, comments=None, ndmin=2)
        except ValueError as error:
            raise crooked from error
        if table.shape != (number, columns):
            raise crooked
        yield dict(zip(vertex.names, table.T, strict=True))


def _cut_off(path: Path, held: int, count: int) -> InputError:
    return InputError(f"{_WHAT} {path} is cut off: {held} of {count} Gaussians; fetch or export it again")


def _read_tensor_dump(path: Path) -> Gaussians:
    """The [1, N, 14] tensor of the official sampler: position, opacity, scale, quaternion (w x y z), colour."""
    other = InputError(f"{_WHAT} {path} is an archive, but not one [1, N, 14] tensor; give a PLY file of Gaussians")
    with open_archive(path, _WHAT) as archive:
        entries = archive.infolist()
        # a tensor is stored as it is; packed entries and long pickles could unpack to anything
        if any(entry.file_size > entry.compress_size for entry in entries) or any(
            entry.filename.endswith(".pkl") and entry.file_size > _LARGEST_PICKLE for entry in entries
        ):
            raise other
    try:
        dump = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # a damaged pickle makes torch's reader fail in any way
        raise InputError(f"{_WHAT} {path} is an archive that cannot be read; give a PLY file of Gaussians") from error
    if (
        not isinstance(dump, Tensor)
        or dump.layout != torch.strided
        or dump.device.type != "cpu"
        or not dump.is_floating_point()
        or dump.dim() not in (2, 3)
        or dump.shape[-1] != 14
        or dump.numel() != dump.shape[-2:].numel()
        # one stored value may pose as a tensor of any size
        or dump.numel() * dump.element_size() > path.stat().st_size
    ):
        raise other
    if len(dump.reshape(-1, 14)) == 0:
        raise InputError(f"{_WHAT} {path} holds no Gaussians; export it again")
    parts = dump.reshape(-1, 14).float().split([3, 1, 3, 4, 3], dim=1)
    means, opacities, scales, quats, colors = (part.contiguous().numpy() for part in parts)
    return checked_gaussians(path, _WHAT, means, quats, scales, opacities[:, 0], colors)
