"""The light of a scene: the sun or a lamp, the sky, haze, exposure and white balance."""

import math

import numpy as np

from lyra.worlds.layout.builder import Builder
from lyra.worlds.layout.stage import Stage
from lyra.worlds.world import (
    DOWN_RGB,
    EXPOSURE,
    FILL,
    FILL_STRENGTH,
    GROUND_Y,
    HAZE,
    HAZE_RGB,
    KEY,
    KEY_IS_POINT,
    KEY_RGB,
    LIGHT_COLUMNS,
    ROOM,
    ROOM_SHADE,
    SKY,
    SKY_GAIN,
    SKY_YAW,
    UP_RGB,
    WHITE,
)


def choose_light(build: Builder, stage: Stage) -> tuple[np.ndarray, str]:
    """[LIGHT_COLUMNS] float32 and words for the time of day."""
    light = np.zeros(LIGHT_COLUMNS, np.float32)
    skies = build.catalogue.outdoor_skies or build.catalogue.indoor_skies
    sky = build.random.choice(skies)
    measured = build.catalogue.sky_lights[sky]
    night = measured.time_of_day == "at night"
    light[SKY] = sky
    gain = build.uniform(0.85, 1.15)
    light[SKY_GAIN] = gain
    warmth = build.random.gauss(0.0, 0.05)
    light[WHITE] = (1 + warmth, 1 + build.random.gauss(0.0, 0.012), 1 - warmth)
    up, down, sun = (np.array(c, np.float32) for c in (measured.up_rgb, measured.down_rgb, measured.sun_rgb))
    light[HAZE] = stage.haze
    light[HAZE_RGB] = np.array(measured.horizon_rgb, np.float32) * gain
    light[GROUND_Y] = 0.0
    if stage.indoor:
        _indoor(build, stage, light, up)
        light[SKY_GAIN] = gain * 1.6
        light[SKY_YAW] = build.uniform(-math.pi, math.pi)
        return light, measured.time_of_day if build.chance(0.5) else ""

    elevation = min(max(measured.sun_elevation, math.radians(16)), math.radians(68))
    azimuth = (
        build.random.choice(stage.sun_turn) + build.uniform(-0.3, 0.3)
        if stage.sun_turn
        else build.uniform(-math.pi, math.pi)
    )
    light[KEY] = (
        math.sin(azimuth) * math.cos(elevation),
        -math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )
    light[SKY_YAW] = measured.sun_azimuth - azimuth
    share = min(max(1.6 * measured.sun_share, 0.12), 0.72)
    level = 0.5 if night else 1.0
    if night:
        light[SKY_GAIN] = gain = 0.3 * gain
        light[HAZE_RGB] *= 0.3
    light[KEY_RGB] = sun * (2.1 * share * level)
    light[UP_RGB] = up * (1.05 * (1 - share) + 0.24) * level
    light[DOWN_RGB] = (0.5 * down + 0.5) * np.array((0.95, 1.0, 0.9), np.float32) * (0.46 * (1 - 0.3 * share)) * level
    light[EXPOSURE] = build.uniform(0.95, 1.4)
    fill = np.array((-math.sin(azimuth), -0.5, -math.cos(azimuth)), np.float32)
    light[FILL] = fill / np.linalg.norm(fill)
    light[FILL_STRENGTH] = 0.15
    light[ROOM] = (-1e4, 1e4, -1e4, 0.0, -1e4, 1e4)
    light[ROOM_SHADE] = 0.45
    return light, measured.time_of_day


def _indoor(build: Builder, stage: Stage, light: np.ndarray, up: np.ndarray) -> None:
    x, height, z = stage.lamp
    warm = np.array(build.random.choice(((1.0, 0.86, 0.68), (1.0, 0.93, 0.82), (1.0, 1.0, 1.0))), np.float32)
    light[KEY] = (x, -height, z)
    light[KEY_IS_POINT] = 1.0
    room = stage.room
    assert room is not None
    size = min(room[5] - room[4], 2 * room[1])
    distance = math.dist(stage.lamp, stage.eye) if stage.kind in ("tabletop", "closeup") else 0.5 * size
    light[KEY_RGB] = warm * build.uniform(0.35, 0.75) * max(distance, 0.9) ** 2
    day = 0.5 + 0.5 * up
    light[UP_RGB] = day * build.uniform(0.38, 0.6)
    light[DOWN_RGB] = (0.5 + 0.5 * warm) * build.uniform(0.3, 0.45)
    fill = np.array(stage.window, np.float32)
    light[FILL] = fill / np.linalg.norm(fill)
    light[FILL_STRENGTH] = build.uniform(0.4, 1.1)
    light[EXPOSURE] = build.uniform(0.95, 1.45)
    if stage.sunny:
        _sun_through_windows(build, stage, light)
    light[ROOM] = (room[0], room[1], -room[3], -room[2], room[4], room[5])
    light[ROOM_SHADE] = 0.4


def _sun_through_windows(build: Builder, stage: Stage, light: np.ndarray) -> None:
    """The sun instead of the lamp: its light falls through the holes in the walls as patches on floor and furniture."""
    azimuth = math.atan2(stage.window[0], stage.window[2]) + build.uniform(-0.8, 0.8)
    elevation = build.uniform(0.5, 0.95)
    light[KEY] = (
        math.sin(azimuth) * math.cos(elevation),
        -math.sin(elevation),
        math.cos(azimuth) * math.cos(elevation),
    )
    light[KEY_IS_POINT] = 0.0
    light[KEY_RGB] = np.array((1.0, 0.92, 0.78), np.float32) * build.uniform(2.0, 4.5)
