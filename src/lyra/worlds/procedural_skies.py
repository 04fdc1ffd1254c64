"""Skies made by formula: a gradient, a sun and drifting clouds, as equirectangular maps."""

from dataclasses import dataclass

import numpy as np

from lyra.worlds.noise import smoothstep, spectral_noise

SKY_HEIGHT, SKY_WIDTH = 512, 1024

# time of day, sun elevation in degrees, zenith colour, horizon colour, sun colour (linear), cloud cover 0…1
_MOODS = (
    ("at noon", 58.0, (0.10, 0.24, 0.62), (0.52, 0.68, 0.88), (1.0, 0.96, 0.9), 0.25),
    ("in the morning", 32.0, (0.14, 0.27, 0.58), (0.68, 0.74, 0.82), (1.0, 0.88, 0.72), 0.4),
    ("in the afternoon", 40.0, (0.11, 0.23, 0.56), (0.62, 0.72, 0.84), (1.0, 0.92, 0.8), 0.55),
    ("at sunset", 13.0, (0.16, 0.2, 0.4), (0.9, 0.52, 0.28), (1.0, 0.6, 0.32), 0.45),
    ("under a cloudy sky", 45.0, (0.38, 0.42, 0.48), (0.62, 0.65, 0.68), (0.9, 0.92, 0.95), 0.9),
    ("at noon", 66.0, (0.08, 0.2, 0.58), (0.5, 0.66, 0.9), (1.0, 0.97, 0.92), 0.08),
    ("in the evening", 20.0, (0.15, 0.22, 0.46), (0.84, 0.64, 0.46), (1.0, 0.74, 0.5), 0.3),
)


@dataclass(frozen=True)
class ProceduralSky:
    """One sky.

    Attributes:
        picture: [512, 1024, 3] uint8 sRGB, first row zenith.
        radiance: [128, 256, 3] float32 linear, with the sun disc.
        time_of_day: words for captions.
    """

    picture: np.ndarray
    radiance: np.ndarray
    time_of_day: str


def make_skies(seed: int, count: int) -> list[ProceduralSky]:
    """Draw ``count`` skies; the mood cycles through the times of day."""
    rng = np.random.default_rng([seed, 43])
    return [_sky(rng, *_MOODS[index % len(_MOODS)]) for index in range(count)]


def _sky(
    rng: np.random.Generator,
    time_of_day: str,
    elevation: float,
    zenith: tuple[float, float, float],
    horizon: tuple[float, float, float],
    sun: tuple[float, float, float],
    cover: float,
) -> ProceduralSky:
    elevation = np.radians(elevation + rng.uniform(-5, 5))
    polar = (np.arange(SKY_HEIGHT, dtype=np.float32) + 0.5)[:, None] / SKY_HEIGHT * np.pi
    azimuth = (np.arange(SKY_WIDTH, dtype=np.float32) + 0.5)[None] / SKY_WIDTH * 2 * np.pi - np.pi
    up = np.cos(polar)
    toward_sun = up * np.sin(elevation) + np.sin(polar) * np.cos(azimuth) * np.cos(elevation)
    height = np.clip(up, 0.0, 1.0)[..., None]
    tint = rng.uniform(0.9, 1.1)
    sky = np.asarray(horizon) * (1 - height) ** 3 + np.asarray(zenith) * tint * (1 - (1 - height) ** 3)
    glow = np.exp((np.clip(toward_sun, -1, 1) - 1.0) * 9.0)[..., None]
    sky = sky + 0.5 * glow * np.asarray(sun)
    clouds, shade = _clouds(rng, up, azimuth, cover)
    lit = np.asarray(sun) * (0.75 + 0.35 * glow) * shade[..., None] + 0.18 * np.asarray(zenith)
    sky = sky * (1 - clouds[..., None]) + lit * clouds[..., None]
    below = np.clip(-up * 4.0, 0.0, 1.0)[..., None]
    ground = np.asarray(horizon) * 0.45 + 0.04
    sky = sky * (1 - below) + ground * below
    linear = np.clip(sky, 0.0, None).astype(np.float32)
    picture = np.rint(np.clip(linear * (1 + linear**4) ** -0.25, 0, 1) ** (1 / 2.2) * 255).astype(np.uint8)
    disc = (toward_sun > np.cos(np.radians(2.0)))[..., None] * np.asarray(sun) * (1.0 - cover) * 900.0
    radiance = (linear + disc).reshape(128, 4, 256, 4, 3).mean((1, 3)).astype(np.float32)
    return ProceduralSky(picture, radiance, time_of_day)


def _clouds(
    rng: np.random.Generator, up: np.ndarray, azimuth: np.ndarray, cover: float
) -> tuple[np.ndarray, np.ndarray]:
    """Cover 0…1 and brightness of a flat cloud layer seen in perspective."""
    size = 512
    field = spectral_noise(rng, size, size, 1.55, cutoff=2)
    distance = 1.0 / np.clip(up + 0.09, 0.05, None)
    turn = rng.uniform(0, 2 * np.pi)
    scale = rng.uniform(55, 90)
    px, pz = distance * np.sin(azimuth + turn) * scale, distance * np.cos(azimuth + turn) * scale
    value = _bilinear(field, px, pz)
    level = float(np.quantile(field, 1.0 - cover))
    body = smoothstep(level - 0.15, level + 0.9, value) * smoothstep(0.0, 0.1, up)
    shade = 1.08 - 0.3 * smoothstep(level + 0.2, level + 2.0, value)
    return body * 0.95, shade


def _bilinear(field: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Periodic bilinear lookup."""
    size = field.shape[0]
    x0, y0 = np.floor(x), np.floor(y)
    fx, fy = x - x0, y - y0
    i0, j0 = x0.astype(int) % size, y0.astype(int) % size
    i1, j1 = (i0 + 1) % size, (j0 + 1) % size
    upper = field[j0, i0] * (1 - fx) + field[j0, i1] * fx
    return upper * (1 - fy) + (field[j1, i0] * (1 - fx) + field[j1, i1] * fx) * fy
