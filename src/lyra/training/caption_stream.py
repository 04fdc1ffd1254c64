"""Descriptions without end: those of worlds, and mixtures of them that no layout would make."""

import random
from collections.abc import Sequence
from dataclasses import replace

from lyra.worlds import Catalogue, Split, sample_world
from lyra.worlds.caption_words import NOUNS, TIMES
from lyra.worlds.colours import COLOURS
from lyra.worlds.description import Description, Thing

MIXED = 0.5
"""Share of descriptions whose things come from several worlds, so that unusual company is understood too."""


def world_descriptions(catalogue: Catalogue, split: Split, first_seed: int, count: int) -> list[Description]:
    """What ``count`` worlds of consecutive seeds show."""
    return [sample_world(first_seed + number, split, catalogue).description for number in range(count)]


class CaptionStream:
    """Draws descriptions, half of them mixed."""

    def __init__(self, descriptions: Sequence[Description], generator: random.Random) -> None:
        self.descriptions, self.random = descriptions, generator
        self._nouns = tuple(NOUNS)

    def next(self) -> Description:
        """One description."""
        own = self.random.choice(self.descriptions)
        if self.random.random() >= MIXED:
            return own
        other, third = (self.random.choice(self.descriptions) for _ in range(2))
        things = [self._vary(thing) for thing in (*own.things, *other.things)]
        if self.random.random() < 0.3:
            things.append(self._vary(Thing(self.random.choice(self._nouns))))
        self.random.shuffle(things)
        unique = {thing.noun: thing for thing in things}
        time = self.random.choice((third.time, self.random.choice(tuple(TIMES))))
        return replace(own, things=tuple(unique.values())[:8], time=time)

    def _vary(self, thing: Thing) -> Thing:
        noun = NOUNS[thing.noun]
        if noun.takes_colour and self.random.random() < 0.4:
            thing = replace(thing, colour=self.random.choice(COLOURS))
        if not noun.mass and self.random.random() < 0.4:
            thing = replace(thing, count=self.random.choice((1, 1, 2, 3, 4)))
        return thing
