"""Facts as class numbers, for what reads captions or pictures and must answer questions about them."""

from dataclasses import dataclass

import numpy as np

from lyra.worlds.caption_words import KIND_NAMES, MATERIALS, NOUNS, TIMES
from lyra.worlds.colours import COLOURS
from lyra.worlds.description import Description

UNSTATED = "unstated"
KIND_CLASSES = (UNSTATED, *KIND_NAMES)
MATERIAL_CLASSES = (UNSTATED, *MATERIALS)
TIME_CLASSES = (UNSTATED, *TIMES)
COLOUR_CLASSES = (UNSTATED, *COLOURS)
COUNT_CLASSES = ("none", "one", "two", "several")
NOUN_CLASSES = tuple(NOUNS)
STYLE_MATERIALS = {"meadow": "grass", "forest": "leaves", "stony": "earth", "desert": "sand", "snow": "snow"}
"""A landscape's style names its ground."""

LIGHT_CLASSES = ("night", "low sun", "day", "cloudy")
LIGHTS = {
    "night": "night", "sunrise": "low sun", "morning": "day", "day": "day", "evening": "low sun", "sunset": "low sun",
    "cloudy": "cloudy",
}  # fmt: skip
"""What of the time of day can be told from a picture."""


@dataclass(frozen=True)
class Attributes:
    """Class numbers of one description.

    Attributes:
        kind, material, colour, time: index into the classes; material and colour are those of the first surface.
        counts: [NOUNS] index into COUNT_CLASSES.
        thing_colours, thing_materials: [NOUNS] index into COLOUR_CLASSES and MATERIAL_CLASSES, 0 where not stated.
    """

    kind: int
    material: int
    colour: int
    time: int
    counts: np.ndarray
    thing_colours: np.ndarray
    thing_materials: np.ndarray


def attributes(description: Description) -> Attributes:
    """The class numbers of what ``description`` states."""
    material, colour = scene_material(description), description.surfaces[0].colour if description.surfaces else ""
    counts, colours, materials = (np.zeros(len(NOUN_CLASSES), np.int64) for _ in range(3))
    for thing in description.things:
        place = NOUN_CLASSES.index(thing.noun)
        counts[place] = min(thing.count, 3)
        colours[place] = COLOUR_CLASSES.index(thing.colour or UNSTATED)
        materials[place] = MATERIAL_CLASSES.index(thing.material or UNSTATED)
    return Attributes(
        kind=KIND_CLASSES.index(description.kind or UNSTATED),
        material=MATERIAL_CLASSES.index(material or UNSTATED),
        colour=COLOUR_CLASSES.index(colour or UNSTATED),
        time=TIME_CLASSES.index(description.time or UNSTATED),
        counts=counts,
        thing_colours=colours,
        thing_materials=materials,
    )


def scene_material(description: Description) -> str:
    """Canonical material of the first surface, or of the ground that the style names, or ""."""
    if description.surfaces and description.surfaces[0].material:
        return description.surfaces[0].material
    return STYLE_MATERIALS.get(description.style, "")
