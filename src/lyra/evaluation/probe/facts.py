"""What a probe is asked about a picture, as class numbers."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from lyra.worlds.attributes import (
    COUNT_CLASSES,
    KIND_CLASSES,
    LIGHT_CLASSES,
    LIGHTS,
    MATERIAL_CLASSES,
    NOUN_CLASSES,
    STYLE_MATERIALS,
    attributes,
    scene_material,
)
from lyra.worlds.description import Description

UNKNOWN = -1
STYLE = "style"
PARTS = ("wall", "floor", "ground", "top", STYLE)
"""Surfaces whose material is asked for, each by itself; the last is the ground that a landscape's style names."""
SHAPES: dict[str, tuple[int, ...]] = {
    "kind": (len(KIND_CLASSES),),
    "material": (len(PARTS), len(MATERIAL_CLASSES)),
    "light": (len(LIGHT_CLASSES),),
    "things": (len(NOUN_CLASSES), len(COUNT_CLASSES)),
}
"""Logits of each question, classes last."""


def shown_facts(descriptions: Sequence[Description]) -> dict[str, Tensor]:
    """All that worlds show: kind, light [N], material [N, PARTS], things [N, nouns] as counts.

    `UNKNOWN` where a description says nothing. Whatever has no style that names its ground is "unstated" there, so
    that a forest must be told from what is none.
    """
    return _facts(descriptions, _shown_materials)


def stated_facts(descriptions: Sequence[Description]) -> dict[str, Tensor]:
    """What captions state, in the same shapes.

    Of the materials only that of the scene (`lyra.worlds.attributes.scene_material`), at the part it was stated of:
    a caption may drop the wall, so that its scene is made of the floor.
    """
    return _facts(descriptions, _stated_materials)


def _facts(
    descriptions: Sequence[Description], materials: Callable[[Description], dict[str, str]]
) -> dict[str, Tensor]:
    facts = [attributes(description) for description in descriptions]
    kinds = torch.tensor([fact.kind for fact in facts])
    material = torch.full((len(facts), len(PARTS)), UNKNOWN)
    for row, description in zip(material, descriptions, strict=True):
        for part, word in materials(description).items():
            row[PARTS.index(part)] = MATERIAL_CLASSES.index(word)
    times = [description.time for description in descriptions]
    return {
        "kind": torch.where(kinds > 0, kinds, UNKNOWN),  # class 0 is "unstated"
        "material": material,
        "light": torch.tensor([LIGHT_CLASSES.index(LIGHTS[time]) if time else UNKNOWN for time in times]),
        "things": torch.from_numpy(np.stack([fact.counts for fact in facts])),
    }


def _shown_materials(description: Description) -> dict[str, str]:
    surfaces = {surface.part: surface.material for surface in reversed(description.surfaces) if surface.material}
    return {**surfaces, STYLE: STYLE_MATERIALS.get(description.style, MATERIAL_CLASSES[0])}


def _stated_materials(description: Description) -> dict[str, str]:
    material = scene_material(description)
    if not material:
        return {}
    first = description.surfaces[0] if description.surfaces else None
    return {first.part if first is not None and first.material else STYLE: material}
