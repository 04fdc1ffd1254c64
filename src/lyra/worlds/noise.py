"""Periodic random fields, the raw material of procedural tiles, masks and skies."""

import numpy as np


def spectral_noise(rng: np.random.Generator, height: int, width: int, slope: float, cutoff: float = 0.0) -> np.ndarray:
    """[height, width] float32 periodic noise with zero mean and unit deviation, amplitude spectrum 1 / f**slope.

    Waves longer than ``1 / cutoff`` of the side are left out, so ``cutoff`` sets the size of the largest blob.
    """
    white = np.fft.rfft2(rng.standard_normal((height, width)))
    fy = np.fft.fftfreq(height)[:, None] * height
    fx = np.fft.rfftfreq(width)[None] * width
    frequency = np.sqrt(fy**2 + fx**2)
    frequency[0, 0] = 1.0
    gain = frequency**-slope
    gain[0, 0] = 0.0
    if cutoff > 0:
        gain = gain * (frequency >= cutoff)
    field = np.fft.irfft2(white * gain, s=(height, width))
    return (field / max(float(field.std()), 1e-12)).astype(np.float32)


def ridge_line(rng: np.random.Generator, width: int, slope: float) -> np.ndarray:
    """[width] float32 periodic profile with zero mean and unit deviation."""
    white = np.fft.rfft(rng.standard_normal(width))
    frequency = np.arange(len(white), dtype=float)
    frequency[0] = 1.0
    gain = frequency**-slope
    gain[0] = 0.0
    line = np.fft.irfft(white * gain, n=width)
    return (line / max(float(line.std()), 1e-12)).astype(np.float32)


def smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    """Hermite ramp from 0 at ``low`` to 1 at ``high``."""
    t = np.clip((value - low) / (high - low), 0.0, 1.0)
    return t * t * (3.0 - 2.0 * t)
