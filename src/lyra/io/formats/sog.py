"""Gaussians in SOG version 2, PlayCanvas' zip archive of lossless WebP pictures: one pixel is one Gaussian.

- ``means_l``, ``means_u``: low and high bytes of 16-bit steps between the extremes of sign(x) ln(1 + |x|).
- ``scales``: indices into a table of 256 log scales.
- ``quats``: the three smaller components, 0…255 for -1/√2…1/√2; as alpha 252 + the index of the largest of w x y z.
- ``sh0``: indices into a table of 256 degree-0 coefficients; as alpha the opacity.
- ``meta.json``: count, extremes, tables, names of the pictures.

Axes stay those of OpenCV. Source: the format's specification in PlayCanvas' documentation.
"""

import io
import json
import logging
import math
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from lyra.io.files import reason, replacing, require_file
from lyra.io.formats.archive import open_archive, read_entry
from lyra.io.formats.arrays import SH_C0, arrays_of, checked_gaussians
from lyra.io.formats.limits import require_plausible
from lyra.io.formats.packing import from_smallest_three, morton_order, rounded, smallest_three
from lyra.structures import Gaussians, InputError

META = "meta.json"
_VERSION = 2
_LARGEST_META = 1 << 20
_BYTES_PER_PIXEL = 5 * 4  # five pictures
_TABLE = 256
_BINS = 1 << 16
_DENSITY_BINS = 1 << 6
_STEPS = (1 << 16) - 1
_SIDE_STEP = 4
_LARGEST_SIDE = 16380
_FIRST_TAG = np.uint8(252)
_BLOCK = 1 << 16
_LOG_SCALE_LIMIT = 20.0
# Effort of the encoder: beyond these, files of Gaussians hardly shrink while the time doubles.
_WEBP = {"lossless": True, "quality": 20, "method": 2, "exact": True}
_WHAT = "SOG file"
_log = logging.getLogger(__name__)


def write_sog(path: Path | str, gaussians: Gaussians) -> None:
    """Write one set of Gaussians, in Morton order, about 15 bytes each.

    Scales are kept between e^-20 and e^20; they and the colours become the nearest of 256 values chosen for the scene.

    Raises:
        InputError: the place cannot be written, or there are more than 268 million.
        ValueError: there are no Gaussians, or a value is not finite.
    """
    arrays = arrays_of(gaussians, "write_sog")
    count = len(gaussians)
    width = min(_SIDE_STEP * math.ceil(math.sqrt(count) / _SIDE_STEP), _LARGEST_SIDE)
    height = _SIDE_STEP * math.ceil(count / width / _SIDE_STEP)
    if height > _LARGEST_SIDE:
        raise InputError(f"cannot write {_WHAT} {path}: {count} Gaussians are too many for it; write another format")
    order = morton_order(arrays.means)

    means = arrays.means[order].astype(np.float64)
    means = np.sign(means) * np.log1p(np.abs(means))
    low, high = means.min(axis=0), means.max(axis=0)
    steps = np.rint((means - low) / np.where(high > low, high - low, 1) * _STEPS).astype(np.uint32)
    with np.errstate(divide="ignore"):
        logs = np.clip(np.log(arrays.scales[order]), -_LOG_SCALE_LIMIT, _LOG_SCALE_LIMIT)
    scale_table, scales = _quantised(logs)
    color_table, colors = _quantised((arrays.colors[order] - np.float32(0.5)) * np.float32(1 / SH_C0))
    largest, others = smallest_three(arrays.quats[order])
    quats = rounded(others * np.float32(0.5) + np.float32(0.5), 255)
    pictures = {
        "means_l.webp": steps & 255,
        "means_u.webp": steps >> 8,
        "scales.webp": scales,
        "quats.webp": np.column_stack([quats, _FIRST_TAG + largest]),
        "sh0.webp": np.column_stack([colors, rounded(arrays.opacities[order], 255)]),
    }
    meta = {
        "version": _VERSION,
        "asset": {"generator": "lyra"},
        "count": count,
        "means": {"mins": low.tolist(), "maxs": high.tolist(), "files": ["means_l.webp", "means_u.webp"]},
        "scales": {"codebook": scale_table.tolist(), "files": ["scales.webp"]},
        "quats": {"files": ["quats.webp"]},
        "sh0": {"codebook": color_table.tolist(), "files": ["sh0.webp"]},
    }
    with replacing(path, _WHAT) as temporary, zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED) as archive:
        # a fixed date: the same scene gives the same file
        archive.writestr(zipfile.ZipInfo(META), json.dumps(meta))
        for name, values in pictures.items():
            archive.writestr(zipfile.ZipInfo(name), _picture(values, width, height))


def _picture(values: np.ndarray, width: int, height: int) -> bytes:
    """Lossless WebP of [N, 3] or [N, 4] bytes, row by row, 0 behind the last."""
    pixels = np.zeros((width * height, values.shape[1]), np.uint8)
    pixels[: len(values)] = values
    file = io.BytesIO()
    Image.fromarray(pixels.reshape(height, width, -1)).save(file, "WEBP", **_WEBP)
    return file.getvalue()


def _quantised(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A table of 256 values and, in the shape of ``values``, the index of the nearest one.

    Half of the table is spread as the cube root of the values' density, which is best for the mean squared error of
    fine quantisation (Panter and Dite, 1951), the other half evenly, so that no rare value is off by much. Then each
    entry moves to the mean of what fell to it.
    """
    low, high = float(values.min()), float(values.max())
    if high <= low:
        return np.full(_TABLE, low), np.zeros(values.shape, np.uint8)
    bins = ((values - np.float32(low)) * np.float32((_BINS - 1) / (high - low)) + np.float32(0.5)).astype(np.int32)
    number = np.bincount(bins.ravel(), minlength=_BINS)
    density = np.cbrt(number.reshape(_DENSITY_BINS, -1).sum(axis=1))
    share = np.append(0, np.cumsum(density / density.sum() + 1 / _DENSITY_BINS) / 2)
    place = np.interp((np.arange(_TABLE) + 0.5) / _TABLE, share, np.linspace(0, _BINS - 1, _DENSITY_BINS + 1))
    entry = np.searchsorted((place[1:] + place[:-1]) / 2, np.arange(_BINS)).astype(np.uint8)  # the nearest of each bin
    index = entry[bins]
    held = np.bincount(entry, weights=number, minlength=_TABLE)
    total = np.bincount(index.ravel(), weights=values.ravel(), minlength=_TABLE)
    return np.where(held > 0, total / np.maximum(held, 1), low + place / (_BINS - 1) * (high - low)), index


def read_sog(path: Path | str) -> Gaussians:
    """Read Gaussians from a SOG file (one archive) of version 2.

    Spherical harmonics above degree 0 are ignored and reported through `logging`. A picture is decoded only after its
    header was found to fit the count.

    Raises:
        InputError: missing, empty or damaged; another version; an implausible count or picture; no Gaussian in it.
    """
    path = require_file(path, _WHAT)
    try:
        with open_archive(path, _WHAT) as archive:
            return _read(path, archive)
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error


def _read(path: Path, archive: zipfile.ZipFile) -> Gaussians:
    meta = _Meta(path, read_entry(archive, META, _LARGEST_META, path, _WHAT))
    count = meta.count

    def pixels(*keys: str, channels: int, picture: int = 0) -> np.ndarray:
        name = meta.file(*keys, picture=picture)
        # a lossless picture of noise is hardly larger than its pixels
        content = read_entry(archive, name, 2 * _BYTES_PER_PIXEL * count + _LARGEST_META, path, _WHAT)
        return _pixels(path, name, content, count, channels)

    low, high = meta.numbers("means", "mins", count=3), meta.numbers("means", "maxs", count=3)
    steps = pixels("means", channels=3).astype(np.uint16)
    steps |= pixels("means", channels=3, picture=1).astype(np.uint16) << 8
    means = np.empty((count, 3), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):  # damaged extremes; what is not finite is left out in the end
        for axis in range(3):
            logs = low[axis] + steps[:, axis] * ((high[axis] - low[axis]) / _STEPS)
            means[:, axis] = np.sign(logs) * np.expm1(np.abs(logs))
        scale_table = np.exp(meta.numbers("scales", "codebook", count=_TABLE)).astype(np.float32)
        color_table = (meta.numbers("sh0", "codebook", count=_TABLE) * SH_C0 + 0.5).astype(np.float32)
    scales = scale_table[pixels("scales", channels=3)]
    sh0 = pixels("sh0", channels=4)
    colors, opacities = color_table[sh0[:, :3]], sh0[:, 3] * np.float32(1 / 255)
    tagged = pixels("quats", channels=4)
    quats = np.empty((count, 4), np.float32)
    for start in range(0, count, _BLOCK):
        part = slice(start, start + _BLOCK)
        quats[part] = from_smallest_three(
            np.maximum(tagged[part, 3], _FIRST_TAG) - _FIRST_TAG, tagged[part, :3] * np.float32(2 / 255) - np.float32(1)
        )
    quats[tagged[:, 3] < _FIRST_TAG] = (1, 0, 0, 0)  # an unknown tag stands for no rotation
    return checked_gaussians(path, _WHAT, means, quats, scales, opacities, colors)


class _Meta:
    """``meta.json``, value by value."""

    def __init__(self, path: Path, content: bytes) -> None:
        self._path = path
        try:
            self._values = json.loads(content)
        except (ValueError, RecursionError) as error:
            raise self._damaged("is not readable JSON") from error
        version = self._values.get("version") if isinstance(self._values, dict) else None
        if version != _VERSION:
            raise InputError(f"{_WHAT} {path} is of version {_short(version)}, not {_VERSION}; export it again")
        count = self._values.get("count")
        if type(count) is not int or count < 0:
            raise self._damaged("gives no count of Gaussians")
        if count == 0:
            raise InputError(f"{_WHAT} {path} holds no Gaussians; export it again")
        require_plausible(path, _WHAT, _BYTES_PER_PIXEL * count)
        self.count: int = count
        if "shN" in self._values:
            _log.warning("%s: view-dependent colour coefficients (shN) are ignored", path)

    def _damaged(self, words: str) -> InputError:
        return InputError(f"{_WHAT} {self._path}: {META} {words}; export it again")

    def _value(self, *keys: str) -> Any:
        value = self._values
        for key in keys:
            value = value.get(key) if isinstance(value, dict) else None
        return value

    def numbers(self, *keys: str, count: int) -> np.ndarray:
        """[count] float64, finite."""
        value = self._value(*keys)
        if isinstance(value, list) and len(value) == count and all(type(each) in (int, float) for each in value):
            try:
                array = np.array(value, np.float64)
            except OverflowError:  # a whole number of hundreds of digits
                array = np.array([np.nan])
            if np.isfinite(array).all():
                return array
        raise self._damaged(f"has no {count} numbers as {'.'.join(keys)}")

    def file(self, *keys: str, picture: int) -> str:
        """Name of a picture."""
        value = self._value(*keys, "files")
        if isinstance(value, list) and len(value) > picture and isinstance(value[picture], str):
            return value[picture]
        raise self._damaged(f"names no file for {'.'.join(keys)}")


def _short(value: object) -> str:
    return repr(value) if isinstance(value, int | float) else "unknown"


def _pixels(path: Path, name: str, content: bytes, count: int, channels: int) -> np.ndarray:
    """The first ``count`` pixels of a WebP picture, [count, channels] uint8."""
    damaged = InputError(f"{_WHAT} {path}: {name} is damaged or no WebP picture; export it again")
    width, height = _webp_size(content)
    if width == 0:
        raise damaged
    if not count <= width * height <= 4 * count + 4096:
        raise InputError(f"{_WHAT} {path}: {name} has {width} x {height} pixels for {count} Gaussians; export it again")
    try:
        with Image.open(io.BytesIO(content), formats=["WEBP"]) as image:
            pixels = np.asarray(image.convert("RGB" if channels == 3 else "RGBA"))
    except (OSError, ValueError, SyntaxError, EOFError, Image.DecompressionBombError) as error:
        if isinstance(error, InputError):
            raise
        raise damaged from error
    return pixels.reshape(-1, channels)[:count]


def _webp_size(content: bytes) -> tuple[int, int]:
    """Width and height as the first chunk of a WebP file says, without decoding; 0, 0 if it is none."""
    if len(content) < 30 or content[:4] != b"RIFF" or content[8:12] != b"WEBP":
        return 0, 0
    match content[12:16]:
        case b"VP8L" if content[20] == 0x2F:
            packed = int.from_bytes(content[21:25], "little")
            return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
        case b"VP8X":
            return int.from_bytes(content[24:27], "little") + 1, int.from_bytes(content[27:30], "little") + 1
        case b"VP8 ":
            return int.from_bytes(content[26:28], "little") & 0x3FFF, int.from_bytes(content[28:30], "little") & 0x3FFF
    return 0, 0
