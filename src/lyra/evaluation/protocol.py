"""What all protocols share: numbers that are refused before anything is loaded, and the head of a report."""

from pathlib import Path
from typing import Any

from lyra.structures import InputError
from lyra.worlds import TextureSet


def require_at_least(least: int, **numbers: int) -> None:
    """Refuse numbers below ``least``.

    Raises:
        InputError: the first of them, by the name it was given under.
    """
    for name, value in numbers.items():
        if value < least:
            raise InputError(f"{name} {value} should be at least {least}")


def require_size(height: int, width: int) -> None:
    """Refuse pictures that the networks cannot take.

    Raises:
        InputError: a side is not a multiple of 32.
    """
    if min(height, width) < 32 or height % 32 or width % 32:
        raise InputError(f"size {height}x{width} must be multiples of 32, such as 256x448")


def require_stride(stride: int, frames: int) -> None:
    """Refuse a stride that scores nothing but the frame that is given, or goes backwards.

    Raises:
        InputError: outside 1 … ``frames`` - 1.
    """
    if not 1 <= stride < frames:
        raise InputError(
            f"stride {stride} is outside 1…{frames - 1}; clips have {frames} frames and the first is given"
        )


def report_head(protocol: object, textures: TextureSet) -> dict[str, Any]:
    """How a report begins: the fields of the protocol as JSON values, and whether the textures were pictures."""
    return {
        "protocol": {k: str(v) if isinstance(v, Path) else v for k, v in vars(protocol).items()},
        "textures": "procedural" if textures.is_procedural else "pack",
    }
