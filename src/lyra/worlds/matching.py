"""Worlds that show what a text states: many are sampled, as descriptions only, and those that fit best are kept."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import NamedTuple

import numpy as np
import torch

from lyra.worlds.attributes import LIGHTS, scene_material
from lyra.worlds.caption_words import (
    COLOUR_NAMES,
    KIND_NAMES,
    MATERIALS,
    NOUNS,
    PART_NAMES,
    SKY_WORDS,
    STYLE_ADJECTIVES,
    STYLE_NAMES,
    TIMES,
)
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.film import SourcePictures, film_source
from lyra.worlds.layout import KINDS, sample_world
from lyra.worlds.reading import MORE_THAN_ONE, SEVERAL, Reading
from lyra.worlds.store import build_store
from lyra.worlds.textures import Catalogue, TextureSet
from lyra.worlds.world import SKY, TILE, World, collate

SAMPLES = 320
"""Worlds that are looked at for a text; each costs a few milliseconds."""
_CLOSE = 32
"""Of the worlds that fit best, so many are compared by what else their captions say."""

Likeness = Callable[[Sequence[str]], Sequence[float]]
"""From captions to how much each resembles the text, larger for more."""


class Wish(NamedTuple):
    """One fact of a text.

    Attributes:
        label: for the user, such as "two columns".
        weight: importance.
        holds: whether a description has it.
        detail: whether it says something about a thing that is a wish of its own, and is granted only with it.
    """

    label: str
    weight: float
    holds: Callable[[Description], bool]
    detail: bool = False


@dataclass(frozen=True)
class Match:
    """A world for a text.

    Attributes:
        world: the world.
        layout: what `sample_world` was asked for, ``None`` for any.
        light: canonical time of the skies it was limited to, "" for no limit.
        score: 0…1, weight of the wishes that it grants.
        met, missing: their labels.
    """

    world: World
    layout: str | None
    light: str
    score: float
    met: tuple[str, ...]
    missing: tuple[str, ...]


def wishes(reading: Reading) -> tuple[Wish, ...]:
    """The facts of a text, each with what would grant it: the kind weighs most, then the things, the first named most.

    Light counts as what can be told from a picture, `attributes.LIGHTS`. A material or colour of the place is granted
    by any of its surfaces.
    """
    return tuple(_wishes(reading))


def _wishes(reading: Reading) -> Iterator[Wish]:
    stated = reading.stated
    if stated.kind:
        yield Wish(KIND_NAMES[stated.kind][0], 8.0, lambda seen: seen.kind == stated.kind)
    if stated.style:
        names = STYLE_NAMES.get(stated.style) or STYLE_ADJECTIVES[stated.style]
        weight = 6.0 if stated.style in STYLE_NAMES else 2.0
        yield Wish(min(names, key=len), weight, lambda seen: seen.style == stated.style)
    for rank, thing in enumerate(stated.things):
        yield from _thing_wishes(thing, reading.typed.get(thing.noun, thing.noun), 4.0 if rank == 0 else 3.0)
    for surface in stated.surfaces:
        yield from _surface_wishes(surface)
    if stated.time:
        light = LIGHTS[stated.time]
        yield Wish(TIMES[stated.time][0], 3.0, lambda seen: LIGHTS.get(seen.time) == light)
    for noun in reading.absent:
        yield Wish(f"no {NOUNS[noun].names[0][0]}", 2.0, partial(_is_absent, noun))


def _thing_wishes(thing: Thing, typed: str, weight: float) -> Iterator[Wish]:
    noun, count = thing.noun, thing.count
    yield Wish(typed, weight, lambda seen: _seen(seen, noun) is not None)
    if not NOUNS[noun].mass:
        number = {1: "one", 2: "two"}.get(count, "several")

        def enough(seen: Description) -> bool:
            found = _seen(seen, noun)
            there = 0 if found is None else found.count
            return there > 1 if count == MORE_THAN_ONE else there >= SEVERAL if count >= SEVERAL else there == count

        yield Wish(f"{number} {typed}", weight / 2, enough, detail=True)
    for name, value in (("colour", thing.colour), ("material", thing.material)):
        if value:
            word = COLOUR_NAMES[value][0] if name == "colour" else MATERIALS[value][0]
            yield Wish(f"{word} {typed}", weight / 3, partial(_has, noun, name, value), detail=True)


def _surface_wishes(surface: Surface) -> Iterator[Wish]:
    part, place = surface.part, f" {PART_NAMES[surface.part][0]}" if surface.part else ""

    def of(seen: Description) -> list[Surface]:
        return [found for found in seen.surfaces if not part or found.part == part]

    if surface.material:
        material = surface.material

        def made(seen: Description) -> bool:
            return any(found.material == material for found in of(seen)) or (
                part in ("", "ground") and scene_material(seen) == material
            )

        yield Wish(f"{MATERIALS[material][0]}{place}", 2.0, made)
    if surface.colour:
        colour = surface.colour
        yield Wish(
            f"{COLOUR_NAMES[colour][0]}{place}", 1.5, lambda seen: any(found.colour == colour for found in of(seen))
        )


def _is_absent(noun: str, description: Description) -> bool:
    return _seen(description, noun) is None


def _has(noun: str, name: str, value: str, description: Description) -> bool:
    return getattr(_seen(description, noun), name, "") == value


def _seen(description: Description, noun: str) -> Thing | None:
    return next((thing for thing in description.things if thing.noun == noun), None)


def find_worlds(
    reading: Reading,
    textures: TextureSet | Catalogue,
    seed: int = 0,
    count: int = 1,
    samples: int = SAMPLES,
    likeness: Likeness | None = None,
) -> tuple[Match, ...]:
    """The ``count`` worlds, of ``samples`` that ``seed`` leads to, that grant most; the best first.

    Layouts and skies are limited to those that can fit, so that the sample is spent on the rest.

    Args:
        reading: what the text states.
        textures: of split train, or their catalogue.
        seed: another one looks at other worlds.
        count: at most ``samples``.
        samples: worlds that are looked at.
        likeness: decides between worlds that grant as much; ``None`` leaves that to the seed.
    """
    catalogue = textures.catalogue if isinstance(textures, TextureSet) else textures
    catalogue, light = _limited_skies(catalogue, reading.stated.time)
    layouts = _layouts(reading.stated)
    wanted = wishes(reading)
    found = []
    for number in range(max(samples, count)):
        layout = layouts[number % len(layouts)]
        world = sample_world(seed * samples + number, "train", catalogue, layout)
        found.append(_judged(world, layout, light, wanted))
    found.sort(key=lambda match: -match.score)
    if likeness is not None:
        close = found[: max(_CLOSE, count)]
        alike = likeness([match.world.caption for match in close])
        order = sorted(range(len(close)), key=lambda place: (-close[place].score, -alike[place]))
        found = [close[place] for place in order]
    return tuple(found[:count])


def _judged(world: World, layout: str | None, light: str, wanted: Sequence[Wish]) -> Match:
    seen = world.description
    met, missing, score, thing_is_there = [], [], 0.0, True
    for wish in wanted:
        granted = wish.holds(seen)
        if granted:
            met.append(wish.label)
            score += wish.weight
        elif not (wish.detail and not thing_is_there):  # no need to say that the missing sofa is not blue
            missing.append(wish.label)
        if not wish.detail:
            thing_is_there = granted
    whole = sum(wish.weight for wish in wanted)
    return Match(world, layout, light, score / whole if whole else 0.0, tuple(met), tuple(missing))


def _layouts(stated: Description) -> tuple[str | None, ...]:
    """What `sample_world` may be asked for."""
    if stated.style in KINDS:
        return (stated.style,)
    if stated.kind == "landscape" and not stated.style:
        return tuple(kind for kind in KINDS if kind == "landscape" or kind in STYLE_NAMES)
    return (stated.kind,) if stated.kind else (None,)


def _limited_skies(catalogue: Catalogue, time: str) -> tuple[Catalogue, str]:
    """Only the skies of this time, or else of the same light, or else all."""
    if not time:
        return catalogue, ""
    times = {sky: SKY_WORDS.get(catalogue.sky_lights[sky].time_of_day, "") for sky in catalogue.outdoor_skies}
    exact = tuple(sky for sky, word in times.items() if word == time)
    alike = tuple(sky for sky, word in times.items() if LIGHTS.get(word) == LIGHTS[time])
    skies = exact or alike
    return (replace(catalogue, outdoor_skies=skies), time) if skies else (catalogue, "")


def picture_worlds(worlds: Sequence[World], textures: TextureSet, height: int, width: int) -> SourcePictures:
    """As `film_source` on the CPU, but only the tiles and skies that ``worlds`` show are packed, which saves seconds.

    Args:
        worlds: made with ``textures``.
        textures: all of them.
        height, width: in pixels.
    """
    tiles = np.unique(np.concatenate([world.primitives[:, TILE] for world in worlds]).astype(int))
    skies = np.unique([int(world.light[SKY]) for world in worlds])
    store = build_store(textures.tiles[tiles], textures.skies[skies], textures.masks.masks, torch.device("cpu"))
    moved = []
    for world in worlds:
        primitives, light = world.primitives.copy(), world.light.copy()
        primitives[:, TILE] = np.searchsorted(tiles, primitives[:, TILE].astype(int))
        light[SKY] = np.searchsorted(skies, int(light[SKY]))
        moved.append(replace(world, primitives=primitives, light=light))
    return film_source(collate(moved, "cpu"), store, height, width)
