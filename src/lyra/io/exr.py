"""OpenEXR pictures of one channel: depth maps as ViPE and other estimators write them.

The layout is that of the OpenEXR file layout document (openexr.com): single-part scan-line files, little-endian, stored
plainly or with ZIP or ZIPS. Nothing else is read; nothing but half-float ZIP is written.
"""

import struct
import zlib
from dataclasses import dataclass

import numpy as np

from lyra.structures import InputError

_MAGIC, _VERSION = 20000630, 2
_UNUSUAL_FLAGS = {0x200: "tiles", 0x800: "deep pixels", 0x1000: "several parts"}
_COMPRESSIONS = ("none", "RLE", "ZIPS", "ZIP", "PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB")
_LINES = {"none": 1, "ZIPS": 1, "ZIP": 16}
_TYPES = (np.dtype("<u4"), np.dtype("<f2"), np.dtype("<f4"))
_ZIP = 3
_HALF = 1
_LARGEST_SIDE = 1 << 15
_DAMAGE = (struct.error, IndexError, ValueError, zlib.error, UnicodeDecodeError)


@dataclass(frozen=True)
class _Channel:
    name: str
    dtype: np.dtype


def read_exr(content: bytes, channel: str, name: str) -> np.ndarray:
    """One channel of an OpenEXR file.

    Args:
        content: the whole file.
        channel: such as ``Z``.
        name: what messages call the file.

    Returns:
        [H, W] float32.

    Raises:
        InputError: damaged, without that channel, or of a kind that is not read.
    """
    try:
        return _read(content, channel, name)
    except _DAMAGE as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{name} is damaged or no OpenEXR file; export it again") from error


def _read(content: bytes, channel: str, name: str) -> np.ndarray:
    magic, version = struct.unpack_from("<iI", content)
    if magic != _MAGIC:
        raise InputError(f"{name} is no OpenEXR file; export it again")
    for flag, what in _UNUSUAL_FLAGS.items():
        if version & flag:
            raise InputError(f"{name} holds {what}; save it as a plain scan-line OpenEXR file")
    attributes, position = _attributes(content, 8)
    compression = _COMPRESSIONS[attributes["compression"][0]]
    if compression not in _LINES:
        raise InputError(f"{name} is compressed with {compression}; save it with ZIP or without compression")
    channels = _channels(attributes["channels"])
    if channel not in [c.name for c in channels]:
        raise InputError(f"{name} has the channels {', '.join(c.name for c in channels)}, needed is {channel}")
    left, top, right, bottom = struct.unpack("<4i", attributes["dataWindow"])
    width, height = right - left + 1, bottom - top + 1
    if not (0 < width <= _LARGEST_SIDE and 0 < height <= _LARGEST_SIDE):
        raise InputError(f"{name} claims to be {width} x {height} pixels; export it again")
    before = sum(c.dtype.itemsize for c in channels[: [c.name for c in channels].index(channel)]) * width
    wanted = next(c.dtype for c in channels if c.name == channel)
    row = sum(c.dtype.itemsize for c in channels) * width
    lines = _LINES[compression]
    result = np.empty((height, width), np.float32)
    for offset in struct.unpack_from(f"<{-(-height // lines)}Q", content, position):
        y, size = struct.unpack_from("<ii", content, offset)
        first = y - top
        if not 0 <= first < height:
            raise ValueError(f"row {y} lies outside")
        count = min(lines, height - first)
        block = _expand(content[offset + 8 : offset + 8 + size], count * row)
        rows = np.frombuffer(block, np.uint8).reshape(count, row)[:, before : before + width * wanted.itemsize]
        result[first : first + count] = np.ascontiguousarray(rows).view(wanted)
    return result


def write_exr(values: np.ndarray, channel: str) -> bytes:
    """An OpenEXR file of one half-float channel, compressed with ZIP.

    Args:
        values: [H, W] numbers; beyond 65504 they become infinite.
        channel: its name, such as ``Z``.
    """
    height, width = values.shape
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    window = struct.pack("<4i", 0, 0, width - 1, height - 1)
    listing = channel.encode() + b"\0" + struct.pack("<iB3xii", _HALF, 0, 1, 1) + b"\0"
    header = struct.pack("<iI", _MAGIC, _VERSION)
    for name, kind, value in (
        ("channels", "chlist", listing),
        ("compression", "compression", bytes([_ZIP])),
        ("dataWindow", "box2i", window),
        ("displayWindow", "box2i", window),
        ("lineOrder", "lineOrder", bytes(1)),
        ("pixelAspectRatio", "float", struct.pack("<f", 1)),
        ("screenWindowCenter", "v2f", struct.pack("<2f", 0, 0)),
        ("screenWindowWidth", "float", struct.pack("<f", 1)),
    ):
        header += f"{name}\0{kind}\0".encode() + struct.pack("<i", len(value)) + value
    header += b"\0"
    blocks = []
    for top in range(0, height, _LINES["ZIP"]):
        packed = _compress(half[top : top + _LINES["ZIP"]].tobytes())
        blocks.append(struct.pack("<ii", top, len(packed)) + packed)
    offsets, position = [], len(header) + 8 * len(blocks)
    for block in blocks:
        offsets.append(position)
        position += len(block)
    return header + struct.pack(f"<{len(offsets)}Q", *offsets) + b"".join(blocks)


def _attributes(content: bytes, position: int) -> tuple[dict[str, bytes], int]:
    """Values by name, and where the offset table begins."""
    found = {}
    while content[position]:
        name, position = _text(content, position)
        _, position = _text(content, position)
        (size,) = struct.unpack_from("<i", content, position)
        position += 4
        found[name] = content[position : position + size]
        position += size
    if missing := {"channels", "compression", "dataWindow"} - found.keys():
        raise ValueError(f"no {missing}")
    return found, position + 1


def _channels(content: bytes) -> list[_Channel]:
    channels, position = [], 0
    while content[position]:
        name, position = _text(content, position)
        kind, _, x_sampling, y_sampling = struct.unpack_from("<iB3xii", content, position)
        if (x_sampling, y_sampling) != (1, 1):
            raise ValueError("subsampled channel")
        channels.append(_Channel(name, _TYPES[kind]))
        position += 16
    return channels


def _text(content: bytes, position: int) -> tuple[str, int]:
    end = content.index(b"\0", position)
    return content[position:end].decode("ascii"), end + 1


def _expand(packed: bytes, size: int) -> bytes:
    """Undo zlib, then the differences between neighbouring bytes, then the split into even and odd bytes."""
    if len(packed) == size:  # a block that would not shrink is stored plainly
        return packed
    raw = np.frombuffer(zlib.decompressobj().decompress(packed, size + 1), np.uint8)
    if len(raw) != size:
        raise ValueError(f"a block has another size than {size} bytes")
    steps = raw.astype(np.int64)
    steps[1:] -= 128
    joined = np.cumsum(steps).astype(np.uint8)
    result = np.empty(size, np.uint8)
    half = (size + 1) // 2
    result[0::2], result[1::2] = joined[:half], joined[half:]
    return result.tobytes()


def _compress(raw: bytes) -> bytes:
    """The inverse of `_expand`."""
    values = np.frombuffer(raw, np.uint8)
    joined = np.concatenate([values[0::2], values[1::2]]).astype(np.int64)
    steps = joined.copy()
    steps[1:] = joined[1:] - joined[:-1] + 128
    packed = zlib.compress(steps.astype(np.uint8).tobytes())
    return packed if len(packed) < len(raw) else raw
