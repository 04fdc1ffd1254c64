"""Plain names of colours."""

import colorsys
from collections.abc import Sequence

COLOURS = (
    "white", "grey", "black", "red", "orange", "brown", "beige", "yellow", "green", "blue", "purple", "pink",
)  # fmt: skip


def colour_name(linear_rgb: Sequence[float]) -> str:
    """The word of `COLOURS` that most people would use for a linear RGB colour 0…1 (brighter values are cut)."""
    srgb = [min(max(float(value), 0.0), 1.0) ** (1 / 2.2) for value in linear_rgb]
    hue, saturation, value = colorsys.rgb_to_hsv(*srgb)
    degrees = 360 * hue
    if value < 0.2:
        return "black"
    if saturation < 0.13:
        return "white" if value > 0.78 else "grey" if value > 0.3 else "black"
    if degrees < 15 or degrees >= 345:
        return "pink" if value > 0.8 and saturation < 0.55 else "red" if saturation > 0.45 else "brown"
    if degrees < 68 and saturation < 0.38:
        return "beige" if value > 0.62 else "brown" if saturation > 0.2 else "grey"
    if degrees < 42:  # wood and earth are dull oranges
        return "orange" if saturation > 0.72 and value > 0.6 else "brown"
    for limit, name in ((68, "yellow" if value > 0.6 else "green"), (168, "green"), (262, "blue"), (315, "purple")):
        if degrees < limit:
            return name
    return "pink" if value > 0.5 else "purple"
