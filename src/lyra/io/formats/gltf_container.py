"""glTF 2.0 in its binary container: one JSON chunk that describes, one binary chunk with the arrays.

Source: the glTF 2.0 specification of the Khronos Group, sections "Accessors" and "GLB File Format Specification".
"""

import json
import mmap
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from lyra import __version__
from lyra.io.files import reason, replacing, require_file
from lyra.structures import InputError

MAGIC = b"glTF"
_HEADER, _CHUNK = struct.Struct("<4sII"), struct.Struct("<I4s")
_VERSION = 2
_JSON, _BINARY = b"JSON", b"BIN\x00"
_LARGEST = (1 << 32) - 1
_LARGEST_JSON = 1 << 20
_MOST_ITEMS = 1 << 16
_ALIGNMENT = 4
_COMPONENT_OF = {"i1": 5120, "u1": 5121, "i2": 5122, "u2": 5123, "u4": 5125, "f4": 5126}
_DTYPE_OF = {code: np.dtype("<" + kind) for kind, code in _COMPONENT_OF.items()}
_WIDTH_OF = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_TYPE_OF = {width: name for name, width in _WIDTH_OF.items()}
_SHORTEST_STRIDE, _LONGEST_STRIDE = 4, 252


@dataclass
class GltfWriter:
    """Collects arrays and tells the index of the accessor of each; `write` makes the file.

    Attributes:
        arrays: what the binary chunk will hold, in order; kept, not copied.
    """

    arrays: list[np.ndarray] = field(default_factory=list)
    _accessors: list[dict[str, Any]] = field(default_factory=list)
    _targets: list[int | None] = field(default_factory=list)

    def add(self, array: np.ndarray, normalized: bool = False, bounds: bool = False, target: int | None = None) -> int:
        """Add [N] or [N, 1…4] of int8, uint8, int16, uint16, uint32 or float32, and get the index of its accessor.

        Args:
            array: rows take a multiple of 4 bytes, as vertex attributes must.
            normalized: integers stand for 0…1 or -1…1.
            bounds: state the smallest and the largest row, as positions must.
            target: 34962 for vertex attributes, 34963 for indices of triangles.
        """
        array = np.ascontiguousarray(array)
        entry: dict[str, Any] = {
            "bufferView": len(self.arrays),
            "componentType": _COMPONENT_OF[array.dtype.newbyteorder("=").str[1:]],
            "count": len(array),
            "type": _TYPE_OF[array.shape[1] if array.ndim == 2 else 1],
        }
        if normalized:
            entry["normalized"] = True
        if bounds:
            entry["min"], entry["max"] = array.min(axis=0).tolist(), array.max(axis=0).tolist()
        self.arrays.append(array)
        self._accessors.append(entry)
        self._targets.append(target)
        return len(self.arrays) - 1

    def write(self, path: Path | str, what: str, document: dict[str, Any]) -> None:
        """Write the file; ``document`` is completed by asset, accessors, views and buffer.

        Raises:
            InputError: the place cannot be written, or the file would have more than 4 GiB.
        """
        views, offset = [], 0
        for array, target in zip(self.arrays, self._targets, strict=True):
            view: dict[str, Any] = {"buffer": 0, "byteOffset": offset, "byteLength": array.nbytes}
            views.append(view if target is None else {**view, "target": target})
            offset += _padded(array.nbytes)
        text = json.dumps(
            {
                "asset": {"version": "2.0", "generator": f"lyra {__version__}"},
                **document,
                "accessors": self._accessors,
                "bufferViews": views,
                "buffers": [{"byteLength": offset}],
            },
            separators=(",", ":"),
        ).encode()
        text += b" " * (_padded(len(text)) - len(text))
        total = _HEADER.size + 2 * _CHUNK.size + len(text) + offset
        if total > _LARGEST:
            raise InputError(f"cannot write {what} {path}: it would have more than 4 GiB; write another format")
        with replacing(path, what) as temporary, temporary.open("wb") as file:
            file.write(_HEADER.pack(MAGIC, _VERSION, total) + _CHUNK.pack(len(text), _JSON) + text)
            file.write(_CHUNK.pack(offset, _BINARY))
            for array in self.arrays:
                file.write(array.data)
                file.write(bytes(_padded(array.nbytes) - array.nbytes))


def _padded(size: int) -> int:
    return -(-size // _ALIGNMENT) * _ALIGNMENT


class GltfReader:
    """A binary glTF file from a stranger: nothing in it is believed, arrays cannot be larger than the file.

    Attributes:
        path: the file.
        document: its JSON chunk.

    Raises:
        InputError: missing, empty, unreadable, damaged or cut off, or with a JSON chunk beyond 1 MiB.
    """

    def __init__(self, path: Path | str, what: str) -> None:
        self.path = require_file(path, what)
        self._what = what
        try:
            with self.path.open("rb") as file:
                # pages of the file, not memory of ours
                self._content = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        except OSError as error:
            raise InputError(f"{what} {path} cannot be read ({reason(error)}); check its permissions") from error
        text, self._binary = self._chunks()
        try:
            document = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise self.damaged("its JSON chunk is not readable") from error
        if not isinstance(document, dict):
            raise self.damaged("its JSON chunk is no object")
        self.document: dict[str, Any] = document

    def damaged(self, reason: str) -> InputError:
        """The error to raise when the file contradicts the specification."""
        return InputError(f"{self._what} {self.path} is damaged ({reason}); fetch or export it again")

    def _chunks(self) -> tuple[bytes, tuple[int, int]]:
        """The JSON text, and offset and length of the binary chunk."""
        size = len(self._content)
        if size < _HEADER.size + _CHUNK.size:
            raise self.damaged("it is cut off")
        magic, version, total = _HEADER.unpack_from(self._content)
        if magic != MAGIC:
            raise InputError(f"{self._what} {self.path} does not begin with 'glTF'; give a binary glTF file (.glb)")
        if version != _VERSION:
            raise InputError(f"{self._what} {self.path} is glTF of version {version}; convert it to version 2")
        if total > size:
            raise self.damaged("it is cut off")
        length, kind = _CHUNK.unpack_from(self._content, _HEADER.size)
        start = _HEADER.size + _CHUNK.size
        if kind != _JSON or start + length > size:
            raise self.damaged("it does not begin with a JSON chunk")
        if length > _LARGEST_JSON:
            raise InputError(f"{self._what} {self.path} describes more than one scene of Gaussians; export it alone")
        text, start = self._content[start : start + length], start + length
        if size - start < _CHUNK.size:
            return text, (0, 0)
        length, kind = _CHUNK.unpack_from(self._content, start)
        start += _CHUNK.size
        if kind != _BINARY or start + length > size:
            raise self.damaged("its binary chunk is cut off")
        return text, (start, length)

    def items(self, name: str, owner: dict[str, Any] | None = None) -> list[dict[str, Any]]:
        """The list of objects called ``name`` in the document or in ``owner``; empty where there is none."""
        found = (self.document if owner is None else owner).get(name, [])
        if not isinstance(found, list) or len(found) > _MOST_ITEMS or not all(isinstance(each, dict) for each in found):
            raise self.damaged(f"'{name}' is no list of objects")
        return found

    def item(self, name: str, index: Any) -> dict[str, Any]:
        """One of `items`, by a number that the file gave."""
        found = self.items(name)
        if not _is_number(index) or index >= len(found):
            raise self.damaged(f"there is no {index!r} in '{name}'")
        return found[index]

    def array(self, index: Any, kinds: Sequence[str]) -> np.ndarray:
        """The values of an accessor of one of ``kinds`` (``SCALAR``, ``VEC3`` …): [N] or [N, width].

        They keep their number type, except that normalised integers become float32. Always a copy.

        Raises:
            InputError: it is sparse, lies in another file, or does not lie within the binary chunk.
        """
        accessor = self.item("accessors", index)
        kind, code = accessor.get("type"), accessor.get("componentType")
        dtype = _DTYPE_OF.get(code) if isinstance(code, int) else None
        if not isinstance(kind, str) or kind not in kinds or dtype is None:
            raise self.damaged(f"accessor {index} has another type than {' or '.join(kinds)}")
        if "sparse" in accessor or "bufferView" not in accessor:
            raise InputError(f"{self._what} {self.path} holds sparse arrays, which are not read; export it without")
        view = self.item("bufferViews", accessor["bufferView"])
        buffer = self.item("buffers", view.get("buffer"))
        if "uri" in buffer or view.get("buffer") != 0:
            raise InputError(f"{self._what} {self.path} keeps its arrays in another file; export it as one .glb")
        width = _WIDTH_OF[kind]
        row = width * dtype.itemsize
        sizes: list[Any] = [accessor.get("count"), view.get("byteStride", row), accessor.get("byteOffset", 0)]
        sizes += [view.get("byteOffset", 0), view.get("byteLength")]
        if not all(map(_is_number, sizes)) or sizes[0] == 0:
            raise self.damaged(f"accessor {index} has no size")
        count, stride, offset, start, length = sizes
        if "byteStride" in view and not max(row, _SHORTEST_STRIDE) <= stride <= _LONGEST_STRIDE:
            raise self.damaged(f"accessor {index} has a stride of {stride}")
        if offset + stride * (count - 1) + row > length or start + length > self._binary[1]:
            raise self.damaged(f"accessor {index} lies outside of its buffer")
        raw: np.ndarray = np.ndarray(
            (count, width), dtype, self._content, self._binary[0] + start + offset, (stride, dtype.itemsize)
        )
        # int8 -128 and int16 -32768 stand for -1, like the values beside them
        if accessor.get("normalized") is True and dtype.kind in "iu":
            values = np.maximum(raw.astype(np.float32) / np.float32(np.iinfo(dtype).max), np.float32(-1))
        else:
            values = raw.copy()
        return values[:, 0] if width == 1 else values


def _is_number(value: Any) -> bool:
    """Whether a JSON value is a whole number from 0 up that arithmetic on sizes cannot overflow."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _LARGEST
