"""Gaussians in the INRIA layout of PLY, written and read with numpy alone.

This file alone knows the stored encodings: opacity as logit, scales as natural logs, colour as the degree-0 spherical
harmonic coefficient. Positions and axes stay in OpenCV axes.
"""

import logging
import pickle
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np
import torch
from torch import Tensor

from lyra.io.files import reason, replacing, require_file
from lyra.structures import Gaussians, InputError

_SH_C0 = 0.28209479177387814
_PROPERTIES = (
    *("x", "y", "z", "nx", "ny", "nz", "f_dc_0", "f_dc_1", "f_dc_2", "opacity"),
    *("scale_0", "scale_1", "scale_2", "rot_0", "rot_1", "rot_2", "rot_3"),
)
_NORMALS = ("nx", "ny", "nz")
_SMALLEST_OPACITY = np.float32(1e-12)
_LARGEST_OPACITY = np.float32(1 - 2**-24)
_SMALLEST_SCALE = np.float32(1e-30)
_UNIT_TOLERANCE = 1e-6
_LONGEST_HEADER = 1 << 16
_CHUNK = 1 << 16
_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
_log = logging.getLogger(__name__)


def write_ply(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians as binary PLY (17 float32 per Gaussian, normals 0).

    Opacities are kept a float32 step inside 0…1, scales above 1e-30, so that logit and log are finite.

    Raises:
        InputError: the place cannot be written.
        ValueError: a value is not finite.
    """
    fields = {
        name: getattr(gaussians, name).detach().float().cpu().numpy()
        for name in ("means", "quats", "scales", "opacities", "colors")
    }
    for name, array in fields.items():
        if not np.isfinite(array).all():
            raise ValueError(f"write_ply: {name} holds values that are not finite")
    count = len(gaussians)
    properties = "".join(f"property float {name}\n" for name in _PROPERTIES)
    header = f"ply\nformat binary_little_endian 1.0\nelement vertex {count}\n{properties}end_header\n"
    with replacing(path, "PLY file") as temporary, temporary.open("wb") as file:
        file.write(header.encode("ascii"))
        # a chunk stays in the cache between filling its columns and writing it
        for start in range(0, count, _CHUNK):
            part = slice(start, start + _CHUNK)
            opacity = np.clip(fields["opacities"][part], _SMALLEST_OPACITY, _LARGEST_OPACITY)
            table = np.zeros((len(opacity), len(_PROPERTIES)), "<f4")
            table[:, 0:3] = fields["means"][part]
            table[:, 6:9] = (fields["colors"][part] - np.float32(0.5)) * np.float32(1 / _SH_C0)
            table[:, 9] = np.log(opacity) - np.log(1 - opacity)
            table[:, 10:13] = np.log(np.maximum(fields["scales"][part], _SMALLEST_SCALE))
            table[:, 13:17] = fields["quats"][part]
            file.write(table.data)


def read_ply(path: Path | str) -> Gaussians:
    """Read Gaussians from a binary PLY file, or from the tensor dump that Lyra-1 names ``.ply``.

    Properties may come in any order and number type, normals may be missing. Higher spherical harmonics are ignored
    and values that are not finite are left out; both are reported through `logging`. Quaternions are normalised,
    colours clamped to 0…1.

    Raises:
        InputError: missing, empty or cut off; text or compressed PLY; not a PLY of Gaussians; no Gaussian in it.
    """
    path = require_file(path, "PLY file")
    try:
        with path.open("rb") as file:
            start = file.read(4)
            file.seek(0)
            if start[:2] == b"PK":
                return _read_tensor_dump(path)
            if start[:3] != b"ply":
                raise InputError(f"PLY file {path} does not begin with 'ply'; give a PLY file of Gaussians")
            layout = _read_header(path, file)
            return _read_vertices(path, file, layout)
    except OSError as error:
        raise InputError(f"PLY file {path} cannot be read ({reason(error)}); check its permissions") from error


@dataclass(frozen=True)
class _Layout:
    """Where the vertices lie: record type, count, offset of the first byte."""

    record: np.dtype
    count: int
    offset: int


def _read_header(path: Path, file: BinaryIO) -> _Layout:
    damaged = InputError(f"PLY file {path} has a damaged header; export it again")
    head = file.read(_LONGEST_HEADER)
    marker = b"\nend_header"
    end = head.find(marker)
    stop = head.find(b"\n", end + len(marker)) if end >= 0 else -1
    if stop < 0:
        raise damaged
    order = ""
    elements: list[tuple[str, int, list[tuple[str, str]]]] = []
    for line in head[:end].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", "ascii", *_]:
                raise InputError(f"PLY file {path} is in text form; convert it to binary_little_endian")
            case ["format", "binary_little_endian", *_]:
                order = "<"
            case ["format", "binary_big_endian", *_]:
                order = ">"
            case ["element", name, number] if number.isdigit():
                elements.append((name, int(number), []))
            case ["property", "list", *_] if elements:
                elements[-1][2].append(("", "list"))
            case ["property", kind, name] if elements and kind in _TYPES:
                elements[-1][2].append((name, _TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                continue
            case _:
                raise damaged
    if not order:
        raise damaged
    offset = stop + 1
    for name, count, properties in elements:
        if any(kind == "list" for _, kind in properties):
            break
        names = [label for label, _ in properties]
        if len(set(names)) != len(names):
            raise damaged
        record = np.dtype([(label, order + kind) for label, kind in properties])
        if name == "vertex":
            _check_properties(path, names)
            return _Layout(record, count, offset)
        offset += count * record.itemsize
    raise InputError(f"PLY file {path} holds no plain 'vertex' element; give a PLY file of Gaussians")


def _check_properties(path: Path, names: list[str]) -> None:
    if "packed_position" in names:
        raise InputError(f"PLY file {path} is a compressed PLY; convert it to the plain INRIA layout first")
    missing = [name for name in _PROPERTIES if name not in names and name not in _NORMALS]
    if missing:
        raise InputError(f"PLY file {path} lacks {', '.join(missing)}; give a PLY file of 3D Gaussians")
    ignored = sum(name.startswith("f_rest_") for name in names)
    if ignored:
        _log.warning("%s: %d view-dependent colour coefficients (f_rest) are ignored", path, ignored)


def _read_vertices(path: Path, file: BinaryIO, layout: _Layout) -> Gaussians:
    available = path.stat().st_size - layout.offset
    if layout.count * layout.record.itemsize > available:
        held = max(0, available) // layout.record.itemsize
        raise InputError(f"PLY file {path} is cut off: {held} of {layout.count} Gaussians; fetch or export it again")
    if layout.count == 0:
        raise InputError(f"PLY file {path} holds no Gaussians; export it again")
    file.seek(layout.offset)
    means, colors, scales = (np.empty((layout.count, 3), np.float32) for _ in range(3))
    quats, opacities = np.empty((layout.count, 4), np.float32), np.empty(layout.count, np.float32)
    for start in range(0, layout.count, _CHUNK):
        number = min(_CHUNK, layout.count - start)
        rows = np.frombuffer(file.read(number * layout.record.itemsize), layout.record)
        part = slice(start, start + number)
        for axis in range(3):
            means[part, axis] = rows["xyz"[axis]]
            colors[part, axis] = rows[f"f_dc_{axis}"]
            scales[part, axis] = rows[f"scale_{axis}"]
        for axis in range(4):
            quats[part, axis] = rows[f"rot_{axis}"]
        opacities[part] = rows["opacity"]
        with np.errstate(over="ignore", invalid="ignore"):
            np.exp(scales[part], out=scales[part])
            opacities[part] = 1 / (1 + np.exp(-opacities[part]))
    colors *= np.float32(_SH_C0)
    colors += np.float32(0.5)
    return _cleaned(path, *(torch.from_numpy(array) for array in (means, quats, scales, opacities, colors)))


def _read_tensor_dump(path: Path) -> Gaussians:
    """The [1, N, 14] tensor of the official sampler: position, opacity, scale, quaternion (w x y z), colour."""
    try:
        dump = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, pickle.UnpicklingError, EOFError, KeyError, ValueError) as error:
        raise InputError(f"PLY file {path} is an archive that cannot be read; give a PLY file of Gaussians") from error
    if not isinstance(dump, Tensor) or dump.shape[-1:] != (14,) or dump.numel() != dump.shape[-2:].numel():
        raise InputError(f"PLY file {path} is an archive, but not one [1, N, 14] tensor; give a PLY file of Gaussians")
    means, opacities, scales, quats, colors = dump.reshape(-1, 14).float().split([3, 1, 3, 4, 3], dim=1)
    return _cleaned(path, means, quats, scales, opacities[:, 0], colors)


def _cleaned(path: Path, means: Tensor, quats: Tensor, scales: Tensor, opacities: Tensor, colors: Tensor) -> Gaussians:
    """Unit quaternions, clamped colours and only finite Gaussians."""
    length = (quats * quats).sum(dim=1, keepdim=True).sqrt()
    length = torch.where((length - 1).abs() < _UNIT_TOLERANCE, 1.0, length)  # unit ones come back bit by bit
    upright = torch.tensor([1.0, 0.0, 0.0, 0.0])
    if not bool((length > 0).all()):
        quats = torch.where(length > 0, quats, upright)
        length = torch.where(length > 0, length, 1.0)
    gaussians = Gaussians(means, quats / length, scales, opacities, colors)
    # a sum is finite only if its terms are (or overflowed, which is no Gaussian either)
    finite = torch.isfinite(means.sum(1) + length[:, 0] + scales.sum(1) + opacities + colors.sum(1))
    if not bool(finite.all()):
        _log.warning("%s: %d Gaussians with values that are not finite are left out", path, int((~finite).sum()))
        gaussians = gaussians[finite]
        if len(gaussians) == 0:
            raise InputError(f"PLY file {path} holds no finite Gaussian; export it again")
    return Gaussians(
        gaussians.means, gaussians.quats, gaussians.scales, gaussians.opacities, gaussians.colors.clamp(0, 1)
    )
