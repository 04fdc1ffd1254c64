"""Photos from disk, fitted to a network's grid, and pictures back to disk."""

import struct
import warnings
import zlib
from dataclasses import dataclass
from math import hypot
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from PIL import ExifTags, Image, UnidentifiedImageError
from torch import Tensor
from torch.nn import functional as F

from lyra.io.files import replacing, require_file
from lyra.io.heif import is_heif, teach_pillow
from lyra.structures import Frames, InputError

LARGEST_SIDE = 2048
"""Photos are reduced to this many pixels on the longer side when read."""

SMALLEST_SIDE = 16
LARGEST_ASPECT = 8.0
NANO_GRID = (256, 448)
"""Height and width of the nano networks for landscape pictures; portrait pictures swap them."""

_FORMATS = ("JPEG", "MPO", "PNG", "WEBP", "GIF", "BMP", "TIFF", "PPM", "TGA", "AVIF", "JPEG2000", "ICO", "HEIF")
_DAMAGE = (OSError, SyntaxError, ValueError, EOFError, struct.error, zlib.error, TypeError, IndexError, KeyError)
_FULL_FRAME_DIAGONAL_MM = hypot(36, 24)
_UNIT_MM = {2: 25.4, 3: 10.0, 4: 1.0, 5: 0.001}


@dataclass(frozen=True)
class Photo:
    """A photo as read from disk.

    Attributes:
        frames: one frame, upright, at most `LARGEST_SIDE` pixels long.
        focal_px_fraction: focal length in pixels divided by the width in pixels, from EXIF; None where unknown.
        notices: sentences about what was changed or left out.
    """

    frames: Frames
    focal_px_fraction: float | None
    notices: tuple[str, ...]


@dataclass(frozen=True)
class PhotoFit:
    """How `fit_photo` placed a photo on a grid: x_grid = x_photo · scale_x + offset_x, in pixels.

    Attributes:
        scale_x, scale_y: enlargement; equal up to rounding of the size to whole pixels.
        offset_x, offset_y: shift in grid pixels; negative where the photo was cropped.
        photo_width, width: widths in pixels of the photo and of the grid.
    """

    scale_x: float
    scale_y: float
    offset_x: int
    offset_y: int
    photo_width: int
    width: int

    def focal_px_fraction(self, photo_fraction: float) -> float:
        """Focal length over width on the grid, from the same ratio of the photo."""
        return photo_fraction * self.photo_width * self.scale_x / self.width


def read_photo(path: Path | str) -> Photo:
    """Read one photo.

    EXIF orientation is applied. Grey, palette, 16-bit and CMYK pictures become RGB, transparency is blended over
    white, colour profiles are ignored. Of an animation the first frame is used.

    Raises:
        InputError: missing, a folder, empty, not a picture, damaged, smaller than 16 pixels on a side, more than eight
            times as long as wide, larger than Pillow's decompression-bomb limit, or HEIC without pillow-heif.
    """
    path = require_file(path, "photo")
    notices: list[str] = []
    try:
        if is_heif(path):
            teach_pillow(path)
        with warnings.catch_warnings(record=True) as complaints:
            warnings.simplefilter("always")
            Image.init()
            with Image.open(path, formats=[name for name in _FORMATS if name in Image.OPEN]) as image:
                width, height = image.size
                _check_size(path, width, height)
                orientation, focal = _read_exif(image, notices)
                pictures = getattr(image, "n_frames", 1)
                if pictures > 1 and image.format != "MPO":
                    notices.append(f"{path.name} holds {pictures} pictures; only the first is used")
                image.draft(None, (LARGEST_SIDE, LARGEST_SIDE))
                image.load()
                rgb = _to_rgb(image, notices)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"photo {path} has too many pixels to open safely; reduce it first") from error
    except UnidentifiedImageError as error:
        raise InputError(f"photo {path} is not a picture that can be read; give a JPEG, PNG or WebP file") from error
    except MemoryError as error:
        raise InputError(f"photo {path} does not fit into memory; reduce it first") from error
    except _DAMAGE as error:
        raise InputError(f"photo {path} is damaged or cut off; fetch or export it again") from error
    # Pillow also warns at half the size at which it refuses; large phone photos lie between and are welcome
    damages = [str(complaint.message) for complaint in complaints if complaint.category is UserWarning]
    notices.extend(f"{path.name} is damaged in part: {words.strip()}" for words in dict.fromkeys(damages))
    if 2 <= orientation <= 8:
        rgb = _turn(rgb, orientation)
        if orientation >= 5:
            width, height = height, width
    if max(width, height) > LARGEST_SIDE:
        factor = LARGEST_SIDE / max(width, height)
        size = (max(1, round(height * factor)), max(1, round(width * factor)))
        rgb = F.interpolate(rgb[None], size=size, mode="bilinear", antialias=True, align_corners=False)[0]
        notices.append(f"{path.name} was reduced from {width} x {height} to {size[1]} x {size[0]} pixels")
    return Photo(Frames(rgb.clamp(0, 1)[None].contiguous()), focal and focal / width, tuple(notices))


def _check_size(path: Path, width: int, height: int) -> None:
    if max(width, height) > LARGEST_ASPECT * min(width, height):
        raise InputError(
            f"photo {path} is {width} x {height} pixels, too long; crop it to at most {LARGEST_ASPECT:g} : 1"
        )
    if min(width, height) < SMALLEST_SIDE:
        raise InputError(
            f"photo {path} is only {width} x {height} pixels; give one of at least {SMALLEST_SIDE} pixels on a side"
        )


def _read_exif(image: Image.Image, notices: list[str]) -> tuple[int, float | None]:
    """Orientation tag (1 if none) and focal length in pixels of the stored picture."""
    try:
        exif = image.getexif()
        orientation = int(exif.get(ExifTags.Base.Orientation, 1))
        details = exif.get_ifd(ExifTags.IFD.Exif)
        focal = _focal_px(image.size, {**dict(exif), **details})
    except (*_DAMAGE, ZeroDivisionError, OverflowError):
        notices.append("the EXIF data is damaged and was ignored")
        return 1, None
    return orientation, focal


def _focal_px(size: tuple[int, int], tags: dict[int, object]) -> float | None:
    """Focal length in pixels, from the 35 mm equivalent (same diagonal) or from focal length and sensor resolution."""

    def number(tag: ExifTags.Base) -> float:
        value = tags.get(tag)
        return float(value) if value is not None else 0.0  # type: ignore[arg-type]

    equivalent = number(ExifTags.Base.FocalLengthIn35mmFilm)
    focal = 0.0
    if equivalent > 0:
        focal = equivalent / _FULL_FRAME_DIAGONAL_MM * hypot(*size)
    else:
        length, resolution = number(ExifTags.Base.FocalLength), number(ExifTags.Base.FocalPlaneXResolution)
        unit = _UNIT_MM.get(int(number(ExifTags.Base.FocalPlaneResolutionUnit) or 2))
        if length > 0 and resolution > 0 and unit is not None:
            focal = length * resolution / unit
            captured = number(ExifTags.Base.ExifImageWidth)
            if captured > 0:
                focal *= size[0] / captured
    # outside 10 to 150 degrees of view the tag is not to be believed
    return focal if 0.13 < focal / max(size) < 6 else None


def _to_rgb(image: Image.Image, notices: list[str]) -> Tensor:
    """[3, H, W] float 0…1 of a loaded picture in any Pillow mode."""
    if image.mode.startswith("I") or image.mode == "F":
        grey = np.asarray(image).astype(np.float32)
        grey = np.nan_to_num(grey, nan=0.0, posinf=0.0, neginf=0.0)
        if image.mode == "F":
            largest = max(1.0, float(grey.max()))
            if largest > 1:
                notices.append(f"floating-point values up to {largest:g} were divided by that number")
            grey = grey / largest
        else:
            grey = grey / 65535.0
        return torch.from_numpy(np.ascontiguousarray(grey)).clamp(0, 1).expand(3, -1, -1)
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        pixels = _bytes(image.convert("RGBA"))
        alpha = pixels[3:]
        if bool((alpha < 1).any()):
            notices.append("transparent parts were blended over white")
        return pixels[:3] * alpha + (1 - alpha)
    return _bytes(image.convert("RGB"))


def _bytes(image: Image.Image) -> Tensor:
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).float() / 255


def _turn(rgb: Tensor, orientation: int) -> Tensor:
    """Apply an EXIF orientation (2…8) to [3, H, W]."""
    if orientation >= 5:
        rgb = rgb.mT
    if orientation in (2, 3, 6, 7):
        rgb = rgb.flip(2)
    if orientation in (3, 4, 7, 8):
        rgb = rgb.flip(1)
    return rgb


def nano_grid(width: int, height: int) -> tuple[int, int]:
    """Height and width of the nano grid for a picture: 256 x 448, or 448 x 256 if it is taller than wide."""
    return NANO_GRID if width >= height else (NANO_GRID[1], NANO_GRID[0])


def fit_photo(
    photo_rgb: Tensor, height: int, width: int, mode: Literal["crop", "pad"] = "crop", factor: int = 1
) -> tuple[Tensor, PhotoFit]:
    """Bring a photo to a grid without distorting it, with antialiasing.

    Args:
        photo_rgb: [3, H, W] float 0…1.
        height, width: size of the grid.
        mode: ``crop`` covers the grid and cuts off equal margins; ``pad`` keeps everything and repeats the border.
        factor: how many pixels of the result go along each side of a pixel of the grid, which shows the same place.

    Returns:
        [3, factor · height, factor · width] and the placement, which converts the focal length.

    Raises:
        ValueError: unknown mode.
    """
    photo_height, photo_width = photo_rgb.shape[1:]
    scales = (height / photo_height, width / photo_width)
    if mode == "crop":
        scale = max(scales)
        size = (max(height, round(photo_height * scale)), max(width, round(photo_width * scale)))
    elif mode == "pad":
        scale = min(scales)
        size = (
            min(height, max(1, round(photo_height * scale))),
            min(width, max(1, round(photo_width * scale))),
        )
    else:
        raise ValueError(f"fit_photo: mode {mode!r} is neither crop nor pad")
    # the finer grid is divided from the coarse one, so that both show the same place to a fraction of a pixel
    (tall, wide), (height, width) = (factor * size[0], factor * size[1]), (factor * height, factor * width)
    resized = F.interpolate(photo_rgb[None], size=(tall, wide), mode="bicubic", antialias=True, align_corners=False)
    top, left = (factor * ((side // factor - part // factor) // 2) for side, part in ((height, tall), (width, wide)))
    # negative margins cut, positive ones repeat the border
    fitted = F.pad(resized, (left, width - wide - left, top, height - tall - top), mode="replicate")
    placement = PhotoFit(wide / photo_width, tall / photo_height, left, top, photo_width, width)
    return fitted[0].clamp(0, 1), placement


def save_image(path: Path | str, rgb: Tensor) -> None:
    """Write a picture; the suffix chooses the format.

    Args:
        path: target; missing folders are made, an existing file is replaced once the new one is complete.
        rgb: [3, H, W] or [H, W, 3], float 0…1 (clamped) or uint8.

    Raises:
        InputError: the suffix names no known format or the place cannot be written.
        ValueError: another shape.
    """
    path = Path(path)
    if rgb.dim() != 3 or 3 not in (rgb.shape[0], rgb.shape[2]):
        raise ValueError(f"save_image: expected shape [3 H W] or [H W 3], got {list(rgb.shape)}")
    Image.init()
    if Image.EXTENSION.get(path.suffix.lower()) not in Image.SAVE:
        raise InputError(f"cannot write picture {path}: unknown suffix {path.suffix!r}; use .png or .jpg")
    pixels = rgb.detach().cpu()
    if pixels.shape[2] != 3 or pixels.shape[0] == 3:
        pixels = pixels.permute(1, 2, 0)
    if pixels.is_floating_point():
        pixels = (pixels.float().clamp(0, 1) * 255).round().to(torch.uint8)
    with replacing(path, "picture") as temporary:
        Image.fromarray(pixels.contiguous().numpy()).save(temporary)
