"""Descriptions without end: those of worlds, and mixtures of them that no layout would make."""

import random
from collections.abc import Sequence
from dataclasses import replace

from lyra.worlds import Catalogue, Split, sample_world
from lyra.worlds.caption_words import NOUNS, TIMES
from lyra.worlds.colours import COLOURS
from lyra.worlds.description import Description, Thing
from lyra.worlds.layout.visible import MOST_THINGS

MIXED = 0.5
"""Share of descriptions whose things come from several worlds, so that unusual company is understood too."""
_NOUNS, _TIMES = tuple(NOUNS), tuple(TIMES)


def world_descriptions(catalogue: Catalogue, split: Split, first_seed: int, count: int) -> list[Description]:
    """What ``count`` worlds of consecutive seeds show."""
    return [sample_world(first_seed + number, split, catalogue).description for number in range(count)]


class CaptionStream:
    """Draws descriptions, half of them mixed."""

    def __init__(self, descriptions: Sequence[Description]) -> None:
        self.descriptions = descriptions

    def draw(self, generator: random.Random) -> Description:
        """One description."""
        own = generator.choice(self.descriptions)
        if generator.random() >= MIXED:
            return own
        other, third = (generator.choice(self.descriptions) for _ in range(2))
        things = [_vary(thing, generator) for thing in (*own.things, *other.things)]
        if generator.random() < 0.3:
            things.append(_vary(Thing(generator.choice(_NOUNS)), generator))
        generator.shuffle(things)
        unique = {thing.noun: thing for thing in things}
        time = generator.choice((third.time, generator.choice(_TIMES)))
        return replace(own, things=tuple(unique.values())[:MOST_THINGS], time=time)


def _vary(thing: Thing, generator: random.Random) -> Thing:
    """Sometimes another colour, sometimes another count."""
    noun = NOUNS[thing.noun]
    if noun.takes_colour and generator.random() < 0.4:
        thing = replace(thing, colour=generator.choice(COLOURS))
    if not noun.mass and generator.random() < 0.4:
        thing = replace(thing, count=generator.choice((1, 1, 2, 3, 4)))
    return thing
