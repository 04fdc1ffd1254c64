"""What light a sky gives: sun direction and strength, ambient colours, haze."""

from dataclasses import dataclass

import numpy as np

_LUMA = np.array([0.2126, 0.7152, 0.0722], np.float32)


@dataclass(frozen=True)
class SkyLight:
    """Light of one equirectangular sky; colours are linear with luminance 1 unless said otherwise.

    Attributes:
        sun_azimuth: radians; 0 is +z of the map (middle column), growing towards +x.
        sun_elevation: radians above the horizon.
        sun_rgb: colour of the direct light.
        sun_share: 0…1, direct part of the light on a sunlit surface.
        up_rgb: colour of the upper hemisphere without the sun.
        down_rgb: colour reflected from below.
        horizon_rgb: linear display colour at the horizon (not normalised): the colour of haze.
        brightness: linear display luminance of the upper hemisphere.
        time_of_day: words for captions, may be empty.
    """

    sun_azimuth: float
    sun_elevation: float
    sun_rgb: tuple[float, float, float]
    sun_share: float
    up_rgb: tuple[float, float, float]
    down_rgb: tuple[float, float, float]
    horizon_rgb: tuple[float, float, float]
    brightness: float
    time_of_day: str


def measure_sky(radiance: np.ndarray, picture: np.ndarray, time_of_day: str) -> SkyLight:
    """Measure a sky.

    Args:
        radiance: [h, w, 3] float32 linear radiance, first row zenith.
        picture: [H, W, 3] uint8 sRGB display form of the same sky.
        time_of_day: words for captions.
    """
    height, width, _ = radiance.shape
    luma = radiance @ _LUMA
    polar = (np.arange(height) + 0.5) / height * np.pi
    area = np.broadcast_to(np.sin(polar)[:, None], luma.shape)
    half = height // 2
    upper, upper_area = luma[:half], area[:half]
    is_sun = upper > max(12.0 * float(np.median(upper)), float(np.quantile(upper, 0.995)))
    power = upper * upper_area * is_sun
    row = float((power.sum(1) * np.arange(half)).sum() / max(power.sum(), 1e-9))
    angle = (np.arange(width) + 0.5) / width * 2 * np.pi - np.pi
    azimuth = float(np.arctan2((power.sum(0) * np.sin(angle)).sum(), (power.sum(0) * np.cos(angle)).sum()))
    elevation = float(np.pi / 2 - (row + 0.5) / height * np.pi)
    cosine = np.clip(np.cos(polar), 0, None)[:half, None]
    direct = float(power.sum())
    diffuse = float((upper * upper_area * ~is_sun * cosine).sum()) + 1e-9
    share = direct / (direct + 2.0 * diffuse)
    sun_rgb = (radiance[:half] * (power > 0)[..., None] * upper_area[..., None]).sum((0, 1))
    if direct <= 0.05 * diffuse:  # overcast: no visible sun, light from high up
        elevation, sun_rgb = 0.8, np.ones(3, np.float32)
    sun_rgb[2] = min(sun_rgb[2], 0.95 * max(float(sun_rgb[0]), float(sun_rgb[1])))  # clipped suns are blue-ish
    sun_rgb[0] = max(sun_rgb[0], sun_rgb[1])
    up_rgb = (np.minimum(radiance[:half], np.quantile(upper, 0.98)) * upper_area[..., None]).sum((0, 1))
    down_rgb = (radiance[half:] * area[half:, :, None]).sum((0, 1))
    rows = picture.shape[0]
    band = picture[int(rows * 0.465) : int(rows * 0.497)].astype(np.float32) / 255.0
    dome = picture[: rows // 2].astype(np.float32) / 255.0
    return SkyLight(
        sun_azimuth=azimuth,
        sun_elevation=elevation,
        sun_rgb=_normalise(sun_rgb, 0.75),
        sun_share=float(np.clip(share, 0.08, 0.8)),
        up_rgb=_normalise(up_rgb, 0.6),
        down_rgb=_normalise(down_rgb, 0.5),
        horizon_rgb=_triple((band**2.2).mean((0, 1))),
        brightness=float(((dome**2.2) @ _LUMA).mean()),
        time_of_day=time_of_day,
    )


def _normalise(rgb: np.ndarray, saturation: float) -> tuple[float, float, float]:
    luma = max(float(rgb @ _LUMA), 1e-6)
    return _triple(1.0 + saturation * (np.clip(rgb / luma, 0.2, 3.0) - 1.0))


def _triple(rgb: np.ndarray) -> tuple[float, float, float]:
    return float(rgb[0]), float(rgb[1]), float(rgb[2])
