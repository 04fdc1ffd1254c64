"""Gaussians in PlayCanvas' compressed PLY: chunks of 256 whose values are whole numbers between the chunk's extremes.

- ``chunk``: the extremes of position, log scale and colour, 18 float32.
- ``vertex``: four 32-bit numbers. Position and log scale have 11, 10 and 11 bits (x highest); the rotation is the index
  of the largest component of w x y z in 2 bits and the other three in 10 bits each; colour and opacity have 8 bits each
  (red highest).

Axes stay those of OpenCV. Source of the layout: PlayCanvas' description of the format, and splat-transform.
"""

import logging
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.arrays import Arrays, arrays_of, checked_gaussians
from lyra.io.formats.packing import from_smallest_three, morton_order, rounded, smallest_three
from lyra.io.formats.ply_header import PlyElement, PlyHeader, read_ply_header
from lyra.structures import Gaussians, InputError

_CHUNK = 256
_BLOCK = 64 * _CHUNK
_EXTREMES = tuple(
    f"{side}_{name}"
    for names in (("x", "y", "z"), ("scale_x", "scale_y", "scale_z"), ("r", "g", "b"))
    for side in ("min", "max")
    for name in names
)
_WITHOUT_COLOR = _EXTREMES[:12]  # of older files, whose colours lie between 0 and 1
_PACKED = ("packed_position", "packed_rotation", "packed_scale", "packed_color")
_LOG_SCALE_LIMIT = np.float32(20)
_WHAT = "compressed PLY"
_log = logging.getLogger(__name__)


def write_compressed_ply(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians, 16 bytes each and 72 bytes per chunk.

    They are put in Morton order, so that a chunk is small in space and its steps are fine. Scales are kept between
    e^-20 and e^20.

    Raises:
        InputError: the place cannot be written.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_compressed_ply")
    count = len(gaussians)
    order = morton_order(arrays.means)
    order = np.concatenate([order, np.repeat(order[-1:], -count % _CHUNK)])
    extremes = np.empty((len(order) // _CHUNK, len(_EXTREMES)), "<f4")
    packed = np.empty((len(order), len(_PACKED)), "<u4")
    for start in range(0, len(order), _BLOCK):
        part = slice(start, start + _BLOCK)
        _pack(arrays, order[part], extremes[start // _CHUNK : (start + _BLOCK) // _CHUNK], packed[part])
    header = (
        f"ply\nformat binary_little_endian 1.0\nelement chunk {len(extremes)}\n"
        + "".join(f"property float {name}\n" for name in _EXTREMES)
        + f"element vertex {count}\n"
        + "".join(f"property uint {name}\n" for name in _PACKED)
        + "end_header\n"
    )
    with replacing(path, _WHAT) as temporary, temporary.open("wb") as file:
        file.write(header.encode("ascii"))
        file.write(extremes.data)
        file.write(packed[:count].data)


def _pack(arrays: Arrays, index: np.ndarray, extremes: np.ndarray, packed: np.ndarray) -> None:
    """Fill extremes [C, 18] and packed [C x 256, 4] of the Gaussians ``index`` [C x 256]."""
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log(arrays.scales[index]), -_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
    fractions = []
    for place, values in ((0, arrays.means[index]), (6, logs), (12, arrays.colors[index])):
        chunks = np.ascontiguousarray(values.T).reshape(3, -1, _CHUNK)
        low, high = chunks.min(axis=2), chunks.max(axis=2)
        extremes[:, place : place + 3], extremes[:, place + 3 : place + 6] = low.T, high.T
        size = np.where(high > low, high - low, 1)
        fractions.append(((chunks - low[..., None]) / size[..., None]).reshape(3, -1))
    position, scale, (red, green, blue) = fractions
    packed[:, 0] = _pack_11_10_11(*position)
    largest, others = smallest_three(arrays.quats[index])
    a, b, c = rounded(others.T * np.float32(0.5) + np.float32(0.5), 1023)
    packed[:, 1] = largest.astype(np.uint32) << 30 | a << 20 | b << 10 | c
    packed[:, 2] = _pack_11_10_11(*scale)
    packed[:, 3] = (
        rounded(red, 255) << 24
        | rounded(green, 255) << 16
        | rounded(blue, 255) << 8
        | rounded(arrays.opacities[index], 255)
    )


def _pack_11_10_11(x: np.ndarray, y: np.ndarray, z: np.ndarray) -> np.ndarray:
    return rounded(x, 2047) << 21 | rounded(y, 1023) << 11 | rounded(z, 2047)


def _unpack_11_10_11(packed: np.ndarray) -> np.ndarray:
    parts = np.stack([packed >> 21, packed >> 11 & 1023, packed & 2047], axis=1)
    return parts / np.array([2047, 1023, 2047], np.float32)


def is_compressed_ply(header: PlyHeader) -> bool:
    """Whether the vertices of a PLY file are packed numbers."""
    vertex = header.find("vertex")
    return vertex is not None and "packed_position" in vertex.names


def read_compressed_ply(path: Path | str) -> Gaussians:
    """Read Gaussians from a compressed PLY file of either byte order.

    Spherical harmonics above degree 0 are ignored, and chunks may lack the extremes of colour, as older files do.

    Raises:
        InputError: missing, empty, damaged or cut off; another kind of PLY; no Gaussian in it.
    """
    path = require_file(path, _WHAT)
    try:
        with path.open("rb") as file:
            header = read_ply_header(path, file)
            chunk, vertex = _elements(path, header)
            extremes = _columns(path, file, header, chunk, _EXTREMES[: len(chunk.names)])
            packed = _columns(path, file, header, vertex, _PACKED)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    means, colors, scales = (np.empty((vertex.count, 3), np.float32) for _ in range(3))
    quats, opacities = np.empty((vertex.count, 4), np.float32), np.empty(vertex.count, np.float32)
    # damaged extremes may be anything; what is not finite is left out in the end
    with np.errstate(over="ignore", invalid="ignore"):
        for start in range(0, vertex.count, _BLOCK):
            part = slice(start, start + _BLOCK)
            position, rotation, scale, color = packed[part].T
            chunks = extremes[np.arange(start, start + len(position)) // _CHUNK]
            means[part] = _between(chunks[:, 0:3], chunks[:, 3:6], _unpack_11_10_11(position))
            scales[part] = np.exp(_between(chunks[:, 6:9], chunks[:, 9:12], _unpack_11_10_11(scale)))
            parts = np.stack([rotation >> 20 & 1023, rotation >> 10 & 1023, rotation & 1023], axis=1)
            quats[part] = from_smallest_three(rotation >> 30, parts * np.float32(2 / 1023) - np.float32(1))
            parts = np.stack([color >> 24, color >> 16 & 255, color >> 8 & 255], axis=1) * np.float32(1 / 255)
            colors[part] = _between(chunks[:, 12:15], chunks[:, 15:18], parts) if chunks.shape[1] == 18 else parts
            opacities[part] = (color & 255) * np.float32(1 / 255)
    return checked_gaussians(path, _WHAT, means, quats, scales, opacities, colors)


def _between(low: np.ndarray, high: np.ndarray, share: np.ndarray) -> np.ndarray:
    return low * (1 - share) + high * share


def _elements(path: Path, header: PlyHeader) -> tuple[PlyElement, PlyElement]:
    chunk, vertex = header.find("chunk"), header.find("vertex")
    if header.text or chunk is None or vertex is None or not is_compressed_ply(header):
        raise InputError(f"{_WHAT} {path} is none; give a binary PLY file with packed vertices and their chunks")
    wanted = _EXTREMES if "min_r" in chunk.names else _WITHOUT_COLOR
    if set(chunk.names) != set(wanted) or not set(_PACKED) <= set(vertex.names):
        raise InputError(f"{_WHAT} {path} lacks properties of its kind or has unknown ones; export it again")
    if vertex.count == 0:
        raise InputError(f"{_WHAT} {path} holds no Gaussians; export it again")
    if chunk.count != -(-vertex.count // _CHUNK):
        raise InputError(f"{_WHAT} {path} has {chunk.count} chunks for {vertex.count} Gaussians; export it again")
    if header.find("sh") is not None:
        _log.warning("%s: view-dependent colour coefficients are ignored", path)
    return chunk, vertex


def _columns(path: Path, file: BinaryIO, header: PlyHeader, element: PlyElement, names: tuple[str, ...]) -> np.ndarray:
    """[count, len(names)] of an element, float32 for the chunks and uint32 for the vertices."""
    offset, record = header.offset(element), element.record
    kind = np.dtype(np.uint32 if element.name == "vertex" else np.float32)
    if offset is None or record is None or any(record[name].newbyteorder("=") != kind for name in names):
        raise InputError(f"{_WHAT} {path} has numbers of another type than its kind; export it again")
    available = max(0, path.stat().st_size - offset)
    if element.count * record.itemsize > available:
        held = available // record.itemsize
        raise InputError(
            f"{_WHAT} {path} is cut off: {held} of {element.count} of '{element.name}'; fetch or export it again"
        )
    file.seek(offset)
    rows = np.frombuffer(file.read(element.count * record.itemsize), record)
    table = np.empty((element.count, len(names)), kind)
    for place, name in enumerate(names):
        table[:, place] = rows[name]
    return table
