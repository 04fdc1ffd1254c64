"""Between linear light and the display values that our colours are (IEC 61966-2-1)."""

import numpy as np


def srgb_from_linear(linear: np.ndarray) -> np.ndarray:
    """Display values 0…1 of linear light 0…1 with the primaries of sRGB, float32."""
    linear = linear.clip(0, 1)
    return np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055).astype(np.float32)


def linear_from_srgb(display: np.ndarray) -> np.ndarray:
    """The inverse of `srgb_from_linear`."""
    display = display.clip(0, 1)
    return np.where(display <= 0.04045, display / 12.92, ((display + 0.055) / 1.055) ** 2.4).astype(np.float32)
