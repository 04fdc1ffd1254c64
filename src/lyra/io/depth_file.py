"""Depth maps that another estimator made."""

import zipfile
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from lyra.io.files import require_file
from lyra.structures import InputError

_PNG_UNIT = 0.001
_DAMAGE = (OSError, ValueError, EOFError, SyntaxError, KeyError, zipfile.BadZipFile)


def read_depth(path: Path | str, height: int, width: int) -> tuple[Tensor, Tensor]:
    """Read one depth map.

    Args:
        path: ``.npy``; ``.npz`` with an array ``depth`` or a single array; 16-bit grey ``.png`` in units of 0.001.
        height, width: size that the map must have.

    Returns:
        depth [H, W] float32, z along the optical axis, 0 where invalid; mask [H, W] bool, True where it is valid. Zero,
        negative and infinite depth is invalid.

    Raises:
        InputError: unreadable, of another kind or size, with NaN, or without any valid pixel.
    """
    path = require_file(path, "depth file")
    try:
        array = _read_array(path)
    except InputError:
        raise
    except Image.DecompressionBombError as error:
        raise InputError(f"depth file {path} has too many pixels; it should be {height} x {width}") from error
    except _DAMAGE as error:
        raise InputError(f"depth file {path} is damaged or of another kind than its suffix; export it again") from error
    if array.dtype.kind not in "fiu":
        raise InputError(f"depth file {path} holds {array.dtype}, not numbers; save float32 depth")
    array = array.squeeze()
    if array.shape != (height, width):
        shape = " x ".join(str(size) for size in array.shape)
        raise InputError(f"depth file {path} is {shape}, not {height} x {width} (height x width); resize it")
    depth = torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
    if bool(torch.isnan(depth).any()):
        raise InputError(f"depth file {path} contains NaN; write 0 where the depth is unknown")
    mask = torch.isfinite(depth) & (depth > 0)
    if not bool(mask.any()):
        raise InputError(f"depth file {path} has no valid pixel; depth must be finite and above 0 somewhere")
    return torch.where(mask, depth, 0.0), mask


def _read_array(path: Path) -> np.ndarray:
    match path.suffix.lower():
        case ".npy":
            return np.load(path, allow_pickle=False)
        case ".npz":
            with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
                names = archive.files
                if "depth" not in names and len(names) != 1:
                    raise InputError(f"depth file {path} holds {', '.join(names) or 'nothing'}; name one array 'depth'")
                return archive["depth" if "depth" in names else names[0]]
        case ".png":
            with Image.open(path, formats=["PNG"]) as image:
                if not image.mode.startswith("I"):
                    raise InputError(f"depth file {path} is not 16-bit grey; save 16-bit depth in units of {_PNG_UNIT}")
                return np.asarray(image).astype(np.float32) * np.float32(_PNG_UNIT)
        case _:
            raise InputError(f"depth file {path} has the suffix {path.suffix!r}; use .npy, .npz or 16-bit .png")
