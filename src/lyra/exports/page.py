"""The Gaussians back out of a page of the viewer, by the description in `lyra.viewer.packing`."""

import base64
import binascii
import json
import re
import zlib
from pathlib import Path

import numpy as np

from lyra.io.files import reason, require_file
from lyra.io.formats.arrays import checked_gaussians
from lyra.structures import Gaussians, InputError
from lyra.viewer.packing import GROUP

_MANIFEST = re.compile(r'<script type="application/json" id="manifest">(.*?)</script>', re.DOTALL)
_BYTES_EACH, _BYTES_PER_GROUP = 17, 48
_WHAT = "page"


def read_page(path: Path) -> tuple[Gaussians, ...]:
    """The sets of Gaussians of a page that ``lyra`` wrote as one file.

    Raises:
        InputError: missing, or not such a page.
    """
    path = require_file(path, _WHAT)
    try:
        text = path.read_text(encoding="utf-8")
        found = _MANIFEST.search(text)
        sets = json.loads(found[1])["sets"] if found else []
        packed = [(_element(text, each["source"]), int(each["count"])) for each in sets]
    except OSError as error:
        raise InputError(f"{_WHAT} {path} cannot be read ({reason(error)}); check its permissions") from error
    except (ValueError, KeyError, TypeError, zlib.error, binascii.Error) as error:
        raise InputError(f"{_WHAT} {path} is damaged ({reason(error)}); export it again") from error
    if not packed:
        raise InputError(f"{_WHAT} {path} holds no scene; export it again")
    return tuple(_unpacked(path, data, count) for data, count in packed)


def _element(text: str, source: str) -> bytes:
    """The inflated content of the element that ``source``, ``#id``, names."""
    opening = f'<script type="text/plain" id="{source.removeprefix("#")}">'
    start = text.index(opening) + len(opening)
    return zlib.decompress(base64.b64decode(text[start : text.index("</script>", start)], validate=True))


def _unpacked(path: Path, data: bytes, count: int) -> Gaussians:
    groups = -(-count // GROUP)
    if count < 1 or len(data) != _BYTES_EACH * count + _BYTES_PER_GROUP * groups:
        raise InputError(f"{_WHAT} {path} is damaged (a set has another size than stated); export it again")
    bounds = np.frombuffer(data, "<f4", 12 * groups).reshape(groups, 4, 3)[np.arange(count) // GROUP]
    place = _BYTES_PER_GROUP * groups
    words = np.frombuffer(data, "<u4", count, place)
    steps = np.frombuffer(data, "<u2", 3 * count, place + 4 * count).reshape(3, count).T
    planes = np.frombuffer(data, np.uint8, 7 * count, place + 10 * count).reshape(7, count)
    fine = np.cumsum(planes, axis=1, dtype=np.uint8).T * np.float32(1 / 255)
    kept = np.stack([words >> shift & 1023 for shift in (0, 10, 20)], axis=1) / 1023 * np.sqrt(2) - np.sqrt(0.5)
    omitted = np.sqrt(np.clip(1 - (kept**2).sum(axis=1), 0, None))
    largest = (words >> 30).astype(np.int64)
    quats = np.empty((count, 4), np.float32)
    np.put_along_axis(quats, largest[:, None], omitted[:, None].astype(np.float32), axis=1)
    quats[np.arange(4) != largest[:, None]] = kept.reshape(-1)
    low, high, thin, thick = bounds.transpose(1, 0, 2)
    return checked_gaussians(
        path,
        _WHAT,
        (low + (high - low) * (steps / np.float32(65535))).astype(np.float32),
        quats,
        np.exp(thin + (thick - thin) * fine[:, 0:3]),
        np.ascontiguousarray(fine[:, 6]),
        np.ascontiguousarray(fine[:, 3:6]),
    )
