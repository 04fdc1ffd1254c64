"""Gaussians in SPZ, Niantic's compressed format: written as version 3, read in versions 1 to 4.

A header, then one section per attribute:

- positions: 24-bit fixed-point numbers; half floats in version 1,
- opacities: 8 bits,
- colours: 127.5 + 255 x 0.15 x (degree-0 coefficient) in 8 bits,
- scales: 16 x (natural log + 10) in 8 bits,
- rotations: in versions 1 and 2 x y z in 8 bits each, w being positive; later the index of the largest component of
  x y z w in 2 bits and the others as sign and 9 bits,
- spherical harmonics above degree 0, ignored here.

Versions 1 to 3 are one gzip stream. Version 4 has a plain header, a table of the sections' sizes, and every section
compressed by Zstandard (extra ``spz``).

Axes are RUB (x right, y up, z back), as the documentation of the format says, unless an extension record names others:
y and z are turned on the way from and to OpenCV's. Source: the documentation of nianticlabs/spz, and its reader.
"""

import logging
import math
import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.arrays import SH_C0, arrays_of, checked_gaussians
from lyra.io.formats.limits import require_plausible
from lyra.io.formats.packing import from_smallest_three, rounded, smallest_three
from lyra.structures import Gaussians, InputError

GZIP_MAGIC = b"\x1f\x8b"
MAGIC = b"NGSP"
_HEADER = struct.Struct("<4sIIBBBB")
_LONG_HEADER = struct.Struct("<4sIIBBBBI12x")
_ENTRY = struct.Struct("<QQ")
_WRITTEN_VERSION = 3
_HAS_EXTENSIONS = 2
_COORDINATE_SYSTEM = 0xADBE0003
_LARGEST_EXTENSIONS = 1 << 16
_COEFFICIENTS = (0, 3, 8, 15, 24)  # above degree 0, for each degree
_USUAL_FRACTION_BITS = 12
_MOST_FRACTION_BITS = 24
_COARSEST = 1 << 11
_LARGEST_FIXED = (1 << 23) - 1
_COLOR_SCALE = 0.15
_XYZW = np.array([1, 2, 3, 0])
_RUB = np.array([1, -1, -1], np.float32)
_BLOCK = 1 << 16
_LEVEL = 6
_WHAT = "SPZ file"
_log = logging.getLogger(__name__)


def write_spz(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians as version 3, in their order, about 16 bytes each.

    Positions keep 12 bits behind the point as everywhere, fewer if the scene is too large for them and more if it would
    be smaller than some thousand steps. Scales are kept between e^-10 and e^5.9 in steps of e^(1/16).

    Raises:
        InputError: the place cannot be written, or a position is beyond 8,388,607.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_spz")
    extent = float(np.abs(arrays.means).max())
    if extent > _LARGEST_FIXED:
        raise InputError(f"cannot write {_WHAT} {path}: a position is at {extent:.3g}; write another format")
    bits = _fraction_bits(extent)
    colors = (arrays.colors - np.float32(0.5)) * np.float32(_COLOR_SCALE / SH_C0) + np.float32(0.5)
    with np.errstate(divide="ignore"):
        logs = np.log(arrays.scales)
    # a y and a z axis turned round: the quaternion's y and z change their sign, as the position's do
    quats = arrays.quats[:, _XYZW] * np.append(_RUB, np.float32(1))
    sections = (
        _to_fixed(arrays.means * _RUB, bits),
        rounded(arrays.opacities, 255).astype(np.uint8),
        rounded(colors, 255).astype(np.uint8),
        rounded((logs + 10) * np.float32(16 / 255), 255).astype(np.uint8),
        _pack_rotation(quats),
    )
    pack = zlib.compressobj(_LEVEL, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    with replacing(path, _WHAT) as temporary, temporary.open("wb") as file:
        file.write(pack.compress(_HEADER.pack(MAGIC, _WRITTEN_VERSION, len(gaussians), 0, bits, 0, 0)))
        for section in sections:
            file.write(pack.compress(section.data))
        file.write(pack.flush())


def _fraction_bits(extent: float) -> int:
    """Bits behind the point for coordinates up to ``extent``."""
    if extent == 0:
        return _USUAL_FRACTION_BITS
    most = math.floor(math.log2(_LARGEST_FIXED / extent))
    least = math.ceil(math.log2(_COARSEST / extent))
    return min(max(_USUAL_FRACTION_BITS, least), most, _MOST_FRACTION_BITS)


def _to_fixed(means: np.ndarray, bits: int) -> np.ndarray:
    """[N, 3, 3] uint8: the three low bytes of each coordinate."""
    fixed = np.rint(means.astype(np.float64) * (1 << bits)).astype("<i4")
    return np.ascontiguousarray(fixed.view(np.uint8).reshape(-1, 3, 4)[..., :3])


def _pack_rotation(quats: np.ndarray) -> np.ndarray:
    """[N] uint32 of quaternions [N, 4], x y z w."""
    largest, others = smallest_three(quats)
    parts = rounded(np.abs(others), 511) | (others < 0).astype(np.uint32) << 9
    packed = largest.astype(np.uint32) << 30 | parts[:, 0] << 20 | parts[:, 1] << 10 | parts[:, 2]
    return packed.astype("<u4")


@dataclass(frozen=True)
class _Header:
    """What both kinds of header say."""

    version: int
    count: int
    degree: int
    bits: int
    flags: int

    def sizes(self) -> tuple[int, ...]:
        """Bytes of the sections: positions, opacities, colours, scales, rotations, harmonics."""
        position = 6 if self.version == 1 else 9
        rotation = 3 if self.version < 3 else 4
        return tuple(self.count * each for each in (position, 1, 3, 3, rotation, 3 * _COEFFICIENTS[self.degree]))


def read_spz(path: Path | str) -> Gaussians:
    """Read Gaussians from an SPZ file of version 1, 2, 3 or 4.

    Spherical harmonics above degree 0 are ignored and reported through `logging`.

    Raises:
        InputError: missing, empty, damaged or cut off; a version that is not known; version 4 without the package
            zstandard; axes that do not lie along ours; an implausible count; no Gaussian in it.
    """
    path = require_file(path, _WHAT)
    try:
        with path.open("rb") as file:
            open_ = _read_plain if file.read(len(MAGIC)) == MAGIC else _read_gzip
            header, sections, extensions = open_(path, file)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    if header.degree:
        _log.warning("%s: view-dependent colour coefficients of degree 1 to %d are ignored", path, header.degree)
    signs = _signs(path, extensions)
    turns = signs.prod() * signs  # mirrored axes turn a rotation round where the others' product is negative
    positions, opacities, colors, logs, rotations = (np.frombuffer(each, np.uint8) for each in sections)
    means, quats = np.empty((header.count, 3), np.float32), np.empty((header.count, 4), np.float32)
    width = len(positions) // header.count
    with np.errstate(invalid="ignore"):  # half floats may be NaN; such Gaussians are left out in the end
        for start in range(0, header.count, _BLOCK):
            part = slice(start, start + _BLOCK)
            means[part] = _positions(positions[start * width : part.stop * width], header) * signs
            quats[part, 0], quats[part, 1:] = _rotations(rotations, part, header)
    quats[:, 1:] *= turns
    return checked_gaussians(
        path,
        _WHAT,
        means,
        quats,
        np.exp(logs.reshape(-1, 3) * np.float32(1 / 16) - np.float32(10)),
        opacities * np.float32(1 / 255),
        (colors.reshape(-1, 3) * np.float32(1 / 255) - np.float32(0.5)) * np.float32(SH_C0 / _COLOR_SCALE)
        + np.float32(0.5),
    )


def _positions(stored: np.ndarray, header: _Header) -> np.ndarray:
    """[N, 3] in the axes of the file."""
    if header.version == 1:
        return stored.view("<f2").reshape(-1, 3).astype(np.float32)
    low, middle, high = np.moveaxis(stored.reshape(-1, 3, 3).astype(np.int32), 2, 0)
    fixed = low | middle << 8 | high << 16
    return np.ldexp((fixed ^ 1 << 23) - (1 << 23), -header.bits).astype(np.float32)


def _rotations(stored: np.ndarray, part: slice, header: _Header) -> tuple[np.ndarray, np.ndarray]:
    """w [N] and x y z [N, 3] in the axes of the file."""
    if header.version < 3:
        vector = stored.reshape(-1, 3)[part] * np.float32(1 / 127.5) - np.float32(1)
        return np.sqrt(np.maximum(1 - np.einsum("ni,ni->n", vector, vector), 0)), vector
    packed = stored.view("<u4")[part]
    parts = np.stack([packed >> 20, packed >> 10, packed], axis=1) & 1023
    others = (parts & 511) * np.where(parts > 511, np.float32(-1 / 511), np.float32(1 / 511))
    xyzw = from_smallest_three(packed >> 30, others)
    return xyzw[:, 3], xyzw[:, :3]


def _signs(path: Path, extensions: bytes | bytearray) -> np.ndarray:
    """[3] factors from the axes of the file to those of OpenCV, from its extension records (type, length, content)."""
    place = 0
    while len(extensions) >= place + 8:
        kind, length = struct.unpack_from("<II", extensions, place)
        content = extensions[place + 8 : place + 8 + length]
        place += 8 + length
        if kind != _COORDINATE_SYSTEM or len(content) < 4:
            continue
        system = int.from_bytes(content[:4], "little")
        if system > 8:
            raise InputError(f"{_WHAT} {path} has axes of a kind that is not read ({system}); export it with RUB axes")
        if system:
            right, up, front = (system - 1 & 1 << bit for bit in range(3))
            return np.array([1 if right else -1, -1 if up else 1, 1 if front else -1], np.float32)
    return _RUB


def _checked(path: Path, header: _Header, versions: range) -> _Header:
    if header.version not in versions:
        raise InputError(
            f"{_WHAT} {path} is of version {header.version}; export it as version 1 to 3 (gzip) or 4 (Zstandard)"
        )
    if header.degree >= len(_COEFFICIENTS) or header.bits > 31:
        raise InputError(f"{_WHAT} {path} has a damaged header; fetch or export it again")
    if header.count == 0:
        raise InputError(f"{_WHAT} {path} holds no Gaussians; export it again")
    require_plausible(path, _WHAT, sum(header.sizes()))
    return header


Content = tuple[_Header, Sequence[bytes | bytearray], bytes | bytearray]
"""Header, the five sections that are used, and the extension records."""


def _read_gzip(path: Path, file: BinaryIO) -> Content:
    """Versions 1 to 3."""
    stream = _Gzip(path, file)
    magic, version, count, degree, bits, flags, _ = _HEADER.unpack(stream.read(_HEADER.size))
    if magic != MAGIC:
        raise InputError(f"{_WHAT} {path} is compressed, but holds no Gaussians; give an SPZ file")
    header = _checked(path, _Header(version, count, degree, bits, flags), range(1, 4))
    *used, harmonics = header.sizes()
    sections = [stream.read(size) for size in used]
    for start in range(0, harmonics, _BLOCK):
        stream.read(min(_BLOCK, harmonics - start))
    rest = stream.rest(_LARGEST_EXTENSIONS)
    return header, sections, rest if flags & _HAS_EXTENSIONS else b""


class _Gzip:
    """Unpacks a gzip stream piece by piece, never more than is asked for."""

    def __init__(self, path: Path, file: BinaryIO) -> None:
        self._path, self._file = path, file
        self._unpack = zlib.decompressobj(16 + zlib.MAX_WBITS)
        file.seek(0)

    def read(self, size: int) -> bytearray:
        """Exactly ``size`` bytes; InputError if the stream is damaged or ends before."""
        content = bytearray()
        while len(content) < size:
            piece = self._piece(size - len(content))
            if not piece:
                raise InputError(f"{_WHAT} {self._path} is cut off; fetch or export it again")
            content += piece
        return content

    def rest(self, limit: int) -> bytearray:
        """What is left, after which the check sum was right; InputError if it is more than ``limit``."""
        content = bytearray()
        while piece := self._piece(limit + 1 - len(content)):
            content += piece
            if len(content) > limit:
                raise InputError(f"{_WHAT} {self._path} holds more than its header says; fetch or export it again")
        if not self._unpack.eof:
            raise InputError(f"{_WHAT} {self._path} is cut off; fetch or export it again")
        return content

    def _piece(self, most: int) -> bytes:
        """1 to ``most`` bytes, or none at the end."""
        while not self._unpack.eof:
            packed = self._unpack.unconsumed_tail or self._file.read(_BLOCK)
            try:
                piece = self._unpack.decompress(packed, most)
            except zlib.error as error:
                raise InputError(f"{_WHAT} {self._path} is damaged; fetch or export it again") from error
            if piece or not packed:
                return piece
        return b""


def _read_plain(path: Path, file: BinaryIO) -> Content:
    """Version 4."""
    damaged = InputError(f"{_WHAT} {path} is damaged or cut off; fetch or export it again")
    size = path.stat().st_size
    file.seek(0)
    start = file.read(_LONG_HEADER.size)
    if len(start) < _LONG_HEADER.size:
        raise damaged
    _, version, count, degree, bits, flags, streams, table = _LONG_HEADER.unpack(start)
    header = _checked(path, _Header(version, count, degree, bits, flags), range(4, 5))
    sizes = header.sizes()
    if streams not in (len(sizes) - 1, len(sizes)) or not len(start) <= table <= size - streams * _ENTRY.size:
        raise damaged
    extensions = file.read(min(table - len(start), _LARGEST_EXTENSIONS))
    file.seek(table)
    entries = list(_ENTRY.iter_unpack(file.read(streams * _ENTRY.size)))
    sections = []
    for (packed, unpacked), expected in zip(entries[: len(sizes) - 1], sizes, strict=False):
        if unpacked != expected or packed > size:
            raise damaged
        sections.append(_unpack_zstandard(path, file.read(packed), expected))
    return header, sections, extensions if flags & _HAS_EXTENSIONS else b""


def _unpack_zstandard(path: Path, packed: bytes, size: int) -> bytes:
    try:
        import zstandard
    except ImportError as error:
        raise InputError(
            f"{_WHAT} {path} is of version 4, which needs the package zstandard; pip install 'lyra-scenes[spz]'"
        ) from error
    try:
        # the frame states its size itself and would get that much memory
        if zstandard.frame_content_size(packed) in (-1, size):
            content = zstandard.ZstdDecompressor().decompress(packed, max_output_size=size)
            if len(content) == size:
                return content
        raise zstandard.ZstdError("of another size than stated")
    except zstandard.ZstdError as error:
        raise InputError(f"{_WHAT} {path} is damaged ({reason(error)}); fetch or export it again") from error
