"""HEIC pictures are read where pillow-heif is there, and named for what they are where it is not."""

import sys
from types import SimpleNamespace

import pytest
from PIL import Image

from lyra.io import read_photo
from lyra.io.heif import is_heif
from lyra.structures import InputError


def _box(*brands: bytes) -> bytes:
    body = brands[0] + b"\0\0\0\0" + b"".join(brands[1:])
    return (8 + len(body)).to_bytes(4, "big") + b"ftyp" + body


@pytest.mark.parametrize(
    ("head", "heif"),
    [
        (_box(b"heic", b"mif1", b"heic"), True),
        (_box(b"mif1", b"mif1", b"heic"), True),
        (_box(b"mif1", b"mif1", b"avif"), False),
        (_box(b"mp42", b"isom"), False),
        (b"\0\0", False),
        (b"", False),
        (_box(b"mif1") + b"heic", False),
        (b"\xff\xff\xff\xffftyp", False),
    ],
)
def test_the_first_box_tells(tmp_path, head, heif):
    path = tmp_path / "a.heic"
    path.write_bytes(head + b"\0" * 40)
    assert is_heif(path) is heif


def test_without_the_reader_a_line_says_what_to_do(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    path = tmp_path / "photo.jpg"
    path.write_bytes(_box(b"heic", b"mif1") + b"\0" * 100)
    with pytest.raises(InputError, match=r"is a HEIC picture.* export it as JPEG"):
        read_photo(path)


def test_with_the_reader_pillow_learns_it(tmp_path, monkeypatch):
    """A stand-in that reads the picture behind the box; the real one is not a dependency."""
    Image.new("RGB", (40, 24), (200, 10, 30)).save(tmp_path / "inside.png")

    class Picture(Image.Image):
        def __init__(self) -> None:
            super().__init__()
            self._size, self._mode = (40, 24), "RGB"
            self.format = "HEIF"
            self.im = Image.open(tmp_path / "inside.png").copy().im

    def register() -> None:
        monkeypatch.setattr(Image, "ID", [*Image.ID, "HEIF"])
        monkeypatch.setitem(Image.OPEN, "HEIF", (lambda file, name: Picture(), lambda prefix: prefix[4:8] == b"ftyp"))

    monkeypatch.setitem(sys.modules, "pillow_heif", SimpleNamespace(register_heif_opener=register))
    path = tmp_path / "photo.heic"
    path.write_bytes(_box(b"heic", b"mif1") + b"\0" * 100)
    photo = read_photo(path)
    assert (photo.frames.width, photo.frames.height) == (40, 24)
    assert photo.frames.rgb[0, :, 5, 5].mul(255).round().tolist() == [200, 10, 30]
