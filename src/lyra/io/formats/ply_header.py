"""The header of a PLY file: which elements follow, in which form."""

from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from lyra.structures import InputError

_LONGEST = 1 << 16
_MOST_DIGITS = 18
_MARKER = b"\nend_header"
_TYPES = {
    **{"char": "i1", "int8": "i1", "uchar": "u1", "uint8": "u1", "short": "i2", "int16": "i2", "ushort": "u2"},
    **{"uint16": "u2", "int": "i4", "int32": "i4", "uint": "u4", "uint32": "u4"},
    **{"float": "f4", "float32": "f4", "double": "f8", "float64": "f8"},
}
_ORDERS = {"ascii": "", "binary_little_endian": "<", "binary_big_endian": ">"}


@dataclass(frozen=True)
class PlyElement:
    """One kind of record.

    Attributes:
        name: such as ``vertex``.
        count: number of records.
        record: numpy type of one record in the byte order of the file (little-endian for a text file); None if a
            property is a list, whose records have no fixed size.
    """

    name: str
    count: int
    record: np.dtype | None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the properties, in the order of the file."""
        return (self.record.names if self.record is not None else None) or ()


@dataclass(frozen=True)
class PlyHeader:
    """What the header says.

    Attributes:
        text: the records are lines of text, not bytes.
        elements: in the order of the file.
        size: bytes of the header; the first record follows.
    """

    text: bool
    elements: tuple[PlyElement, ...]
    size: int

    def find(self, name: str) -> PlyElement | None:
        """The first element of this name whose records have a fixed size."""
        return next((each for each in self.elements if each.name == name and each.record is not None), None)

    def offset(self, element: PlyElement) -> int | None:
        """Byte of a binary file at which an element's records begin; None behind records of unknown size."""
        place = self.size
        for each in self.elements:
            if each is element:
                return place
            if each.record is None:
                return None
            place += each.count * each.record.itemsize
        return None


def read_ply_header(path: Path, file: BinaryIO) -> PlyHeader:
    """Read the header from the beginning of a file that is open for reading.

    Raises:
        InputError: the file does not begin with 'ply', or the header is damaged or longer than 64 KiB.
    """
    damaged = InputError(f"PLY file {path} has a damaged header; export it again")
    file.seek(0)
    head = file.read(_LONGEST)
    if not head.startswith(b"ply"):
        raise InputError(f"PLY file {path} does not begin with 'ply'; give a PLY file of Gaussians")
    end = head.find(_MARKER)
    stop = head.find(b"\n", end + len(_MARKER)) if end >= 0 else -1
    if stop < 0:
        raise damaged
    order: str | None = None
    found: list[tuple[str, int, list[tuple[str, str]]]] = []
    for line in head[:end].decode("latin-1").splitlines()[1:]:
        match line.split():
            case ["format", form, *_] if form in _ORDERS:
                order = _ORDERS[form]
            case ["element", name, number] if _is_count(number):
                found.append((name, int(number), []))
            case ["property", "list", *_] if found:
                found[-1][2].append(("", "list"))
            case ["property", kind, name] if found and kind in _TYPES:
                found[-1][2].append((name, _TYPES[kind]))
            case [] | ["comment" | "obj_info", *_]:
                continue
            case _:
                raise damaged
    if order is None:
        raise damaged
    elements = []
    for name, count, properties in found:
        labels = [label for label, _ in properties]
        if any(kind == "list" for _, kind in properties):
            elements.append(PlyElement(name, count, None))
            continue
        if len(set(labels)) != len(labels):
            raise damaged
        record = np.dtype([(label, (order or "<") + kind) for label, kind in properties])
        elements.append(PlyElement(name, count, record))
    return PlyHeader(order == "", tuple(elements), stop + 1)


def _is_count(number: str) -> bool:
    return number.isascii() and number.isdigit() and len(number) <= _MOST_DIGITS
