"""OpenEXR depth: a file of the reference library is read, and ours are read back."""

import base64

import numpy as np
import pytest

from lyra.io.exr import read_exr, write_exr
from lyra.structures import InputError

# Written by the OpenEXR library 3.5.3: [18, 6] half floats 1 + y / 4 + x / 64 in the channel Z, ZIP. Its first block is
# compressed, its second (two rows) stored plainly.
REFERENCE = base64.b64decode(
    "di8xAQIAAABjaGFubmVscwBjaGxpc3QAEwAAAFoAAQAAAAAAAAABAAAAAQAAAABjb21wcmVzc2lvbgBjb21wcmVzc2lvbgABAAAAA2RhdGFXaW5kb3cA"
    "Ym94MmkAEAAAAAAAAAAAAAAABQAAABEAAABkaXNwbGF5V2luZG93AGJveDJpABAAAAAAAAAAAAAAAAUAAAARAAAAbGluZU9yZGVyAGxpbmVPcmRlcgAB"
    "AAAAAHBpeGVsQXNwZWN0UmF0aW8AZmxvYXQABAAAAAAAgD9zY3JlZW5XaW5kb3dDZW50ZXIAdjJmAAgAAAAAAAAAAAAAAHNjcmVlbldpbmRvd1dpZHRo"
    "AGZsb2F0AAQAAAAAAIA/dHlwZQBzdHJpbmcADQAAAHNjYW5saW5laW1hZ2UAQgEAAAAAAABvAQAAAAAAAAAAAAAlAAAAeF5jmAACBphkBwjcIJ5sAYE1"
    "GOSLBhBoxEFCAKlsZAAAkNZkxRAAAAAYAAAAAEUERQhFDEUQRRRFQEVERUhFTEVQRVRF"
)
ROWS, COLUMNS = np.mgrid[:18, :6]


def test_a_file_of_the_reference_library_is_read() -> None:
    assert np.array_equal(read_exr(REFERENCE, "Z", "reference"), 1 + ROWS / 4 + COLUMNS / 64)


@pytest.mark.parametrize("shape", [(1, 1), (5, 7), (16, 3), (33, 20)])
def test_what_was_written_is_read(shape: tuple[int, int]) -> None:
    generator = np.random.default_rng(0)
    for values in (np.ones(shape), generator.random(shape) * 30, np.full(shape, 1e6)):
        with np.errstate(over="ignore"):
            half = values.astype(np.float16).astype(np.float32)
        assert np.array_equal(read_exr(write_exr(values, "Z"), "Z", "ours"), half)
    assert len(write_exr(np.ones((704, 1280)), "Z")) < 30_000  # it does compress


def changed(offset: int, value: int) -> bytes:
    return REFERENCE[:offset] + bytes([value]) + REFERENCE[offset + 1 :]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "damaged or no OpenEXR"),
        (b"PNG and so on", "no OpenEXR file"),
        (REFERENCE[:200], "damaged or no OpenEXR"),
        (REFERENCE[:-3], "damaged or no OpenEXR"),
        (changed(5, 2), "holds tiles; save it as a plain scan-line"),
        (changed(REFERENCE.index(b"compression\0\x01") + 16, 4), "compressed with PIZ; save it with ZIP"),
        (REFERENCE.replace(b"Z\0\x01\0\0\0", b"A\0\x01\0\0\0"), "has the channels A, needed is Z"),
        (changed(REFERENCE.index(b"box2i") + 20, 200), "claims to be"),
    ],
    ids=["empty", "other", "header only", "cut", "tiles", "piz", "channel", "size"],
)
def test_what_cannot_be_read_is_refused_by_name(content: bytes, words: str) -> None:
    with pytest.raises(InputError, match=rf"depth.zip: 00000.exr .*{words}"):
        read_exr(content, "Z", "depth.zip: 00000.exr")
