"""HEIC pictures, as phones write them: read with pillow-heif where the user has installed it."""

from pathlib import Path

from lyra.structures import InputError

_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx")


def is_heif(path: Path) -> bool:
    """Whether a file says of itself that it is an HEVC picture (ISO/IEC 23008-12, annex B): brands of its first box."""
    with path.open("rb") as file:
        head = file.read(64)
    if head[4:8] != b"ftyp":
        return False
    box = head[: int.from_bytes(head[:4], "big")]
    brands = [box[8:12], *(box[start : start + 4] for start in range(16, len(box), 4))]
    return any(brand in _BRANDS for brand in brands)


def teach_pillow(path: Path) -> None:
    """Let Pillow open HEIC files, ``path`` being one.

    Raises:
        InputError: pillow-heif is not installed.
    """
    try:
        from pillow_heif import register_heif_opener
    except ImportError:
        raise InputError(
            f"photo {path} is a HEIC picture, as phones write them; export it as JPEG, or `pip install pillow-heif`"
        ) from None
    register_heif_opener()
