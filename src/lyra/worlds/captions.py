"""From the facts of a world to English, in many ways.

`plain_caption` says everything in one fixed way. `write_caption` states a random part of the facts in random words and,
as its style asks, with the carelessness of people who type: words left out, articles forgotten, letters wrong. It
returns what it stated beside the text, because that is all a reader can know.
"""

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from typing import NamedTuple

from lyra.worlds.caption_templates import HELD_OUT_TEMPLATES, PREFIXES, SUFFIXES, TRAIN_TEMPLATES
from lyra.worlds.caption_words import (
    ARTICLES,
    BEDROOM,
    COLOUR_NAMES,
    COUNT_WORDS,
    DISTRACTORS,
    FILLERS,
    FUNCTION_WORDS,
    HELD_OUT_DISTRACTORS,
    KIND_NAMES,
    MATERIALS,
    NEGATIONS,
    NOUNS,
    PART_NAMES,
    STYLE_ADJECTIVES,
    STYLE_NAMES,
    TIME_TAGS,
    TIMES,
)
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.misspell import misspell

MOST_THINGS = 5
_WITH_SURFACES = ("room", "courtyard", "closeup", "city")
"""Kinds that have surfaces rather than are made of them: a courtyard with brick walls, but a paved street."""
_OPTIONAL = re.compile(r"\[([^\[\]]*)\]")
_SLOT = re.compile(r"\{(\w+)\}")
_WORD = re.compile(r"[a-z0-9]+")


class Caption(NamedTuple):
    """A text and exactly the facts it states."""

    text: str
    stated: Description


@dataclass(frozen=True)
class CaptionStyle:
    """How captions are written; every number is a probability per caption unless said otherwise.

    Attributes:
        templates: shapes of sentences.
        distractors: things that no world has.
        tags: write a list of key words instead of a sentence.
        leave_out_articles: write without a, an, the.
        fillers: add words that say nothing.
        distraction: mention something that no world has.
        absence: say that something is not there.
        misspelling: have typing errors at all; then each word has one with probability ``error``.
        error: per word.
        surplus_plural: per thing, the wrong grammatical number ("two tree").
        motion: say that what moves is moving; only true of clips filmed over time.
    """

    templates: tuple[str, ...] = TRAIN_TEMPLATES
    distractors: tuple[str, ...] = DISTRACTORS
    tags: float = 0.2
    leave_out_articles: float = 0.25
    fillers: float = 0.3
    distraction: float = 0.12
    absence: float = 0.06
    misspelling: float = 0.25
    error: float = 0.25
    surplus_plural: float = 0.05
    motion: float = 0.0


TRAINING = CaptionStyle()
CLEAN = CaptionStyle(
    tags=0.0, leave_out_articles=0.0, fillers=0.0, distraction=0.0, absence=0.0, misspelling=0.0, surplus_plural=0.0
)
"""Correct English in the training templates."""
HELD_OUT = replace(CLEAN, templates=HELD_OUT_TEMPLATES, distractors=HELD_OUT_DISTRACTORS)
"""Correct English in shapes that training never used."""
HELD_OUT_MISSPELT = replace(HELD_OUT, misspelling=1.0, error=0.5)
"""The same, every second word of four letters or more with a typing error."""


def plain_caption(description: Description) -> str:
    """Kind, surfaces, the three most prominent things and the time, in the plainest words."""
    writer = _Writer(random.Random(0), CLEAN, plain=True)
    still = tuple(thing for thing in description.things if thing.noun != description.moving)
    facts = replace(description, things=still[:3])
    parts = [writer.surface(surface) for surface in facts.surfaces[1:]] if facts.kind != "tabletop" else []
    if facts.kind in _WITH_SURFACES:
        parts = [writer.surface(surface) for surface in facts.surfaces]
    place = writer.place(facts, facts.kind not in _WITH_SURFACES)
    parts += [writer.thing(thing) for thing in facts.things]
    if description.moving:
        parts.append(f"a moving {description.moving}")
    text = place + (f" with {_listed(parts)}" if parts else "")
    return f"{text}, {TIMES[facts.time][0]}" if facts.time else text


def write_caption(description: Description, generator: random.Random, style: CaptionStyle = TRAINING) -> Caption:
    """State some of the facts of a world.

    Args:
        description: all that is seen.
        generator: source of every choice.
        style: templates and carelessness.

    Returns:
        Text and the facts it states; never empty unless ``description`` is.
    """
    if description.is_empty:
        return Caption("", Description())
    return rephrase(_state_some(description, generator), generator, style)


def rephrase(stated: Description, generator: random.Random, style: CaptionStyle = TRAINING) -> Caption:
    """State all of ``stated``, which is what an earlier caption stated, in other words."""
    writer = _Writer(generator, style)
    as_tags = generator.random() < style.tags
    text = writer.tags(stated) if as_tags else writer.sentence(stated)
    return Caption(writer.careless(text), stated)


def _state_some(description: Description, generator: random.Random) -> Description:
    """A random part of the facts: prominent things are named more often, details less often than what has them."""

    def keep(probability: float) -> bool:
        return generator.random() < probability

    count = min(generator.choice((0, 1, 1, 2, 2, 3, 3, 4, MOST_THINGS)), len(description.things))
    ranked = sorted(description.things, key=lambda thing: generator.expovariate(1.0) + _rank(description, thing))
    things = []
    for thing in ranked[:count]:
        noun = NOUNS[thing.noun]
        colour = thing.colour if noun.takes_colour and keep(0.35) else ""
        material = thing.material if noun.takes_material and keep(0.35) else ""
        things.append(Thing(thing.noun, 1 if noun.mass else min(thing.count, 4), material, colour))
    surfaces = tuple(
        Surface(surface.part, surface.material if material else "", surface.colour if colour else "")
        for surface in description.surfaces
        for material, colour in (generator.choice(((1, 0), (1, 0), (0, 1), (1, 1), (0, 0), (0, 0))),)
        if (material and surface.material) or (colour and surface.colour)
    )
    stated = Description(
        kind=description.kind if keep(0.92) else "",
        style=description.style if keep(0.75) else "",
        surfaces=surfaces,
        things=tuple(things),
        time=description.time if keep(0.7) else "",
        moving=description.moving,
    )
    if not stated.kind:  # surfaces and styles need a place to belong to
        stated = replace(stated, surfaces=(), style="")
    if stated.style in STYLE_NAMES and stated.surfaces:  # a meadow is grassy already
        stated = replace(stated, surfaces=())
    return stated if not stated.is_empty else replace(stated, kind=description.kind, style=description.style)


def _rank(description: Description, thing: Thing) -> float:
    return 0.4 * description.things.index(thing)


class _Writer:
    """Turns facts into words with one source of randomness."""

    def __init__(self, generator: random.Random, style: CaptionStyle, plain: bool = False) -> None:
        self.random, self.style, self.plain = generator, style, plain

    def choose(self, options: Sequence[str]) -> str:
        return options[0] if self.plain else self.random.choice(options)

    def chance(self, probability: float) -> bool:
        return not self.plain and self.random.random() < probability

    # ------------------------------------------------------------------ noun phrases

    def thing(self, thing: Thing) -> str:
        """Such as "two red chairs"."""
        noun = NOUNS[thing.noun]
        one, many = self.random.choice(noun.names) if not self.plain else noun.names[0]
        adjectives = []
        if thing.colour:
            adjectives.append(self.choose(COLOUR_NAMES[thing.colour]))
        if thing.material:
            adjectives.append(self.choose(MATERIALS[thing.material]))
        if noun.mass:
            return " ".join([*adjectives, one])
        number = self.choose(COUNT_WORDS[min(thing.count, 4)])
        singular = thing.count == 1
        if self.chance(self.style.surplus_plural) and number not in ("", "a"):
            singular = not singular
        words = " ".join([*adjectives, one if singular else many])
        return f"{_article(words)} {words}" if number == "a" else f"{number} {words}".strip()

    def surface(self, surface: Surface) -> str:
        """Such as "white brick walls" or "a wooden floor"."""
        part = self.choose(PART_NAMES[surface.part])
        adjectives = []
        if surface.colour:
            adjectives.append(self.choose(COLOUR_NAMES[surface.colour]))
        if surface.material:
            adjectives.append(self.choose(MATERIALS[surface.material]))
        words = " ".join([*adjectives, part])
        return words if part.endswith("s") else f"{_article(words)} {words}"

    def place(self, stated: Description, surface_first: bool) -> str:
        """Such as "a cobbled old street"; ``surface_first`` puts the first surface before the noun."""
        head = self.choose(KIND_NAMES[stated.kind])
        if stated.kind == "room" and any(thing.noun == "bed" for thing in stated.things) and self.chance(0.3):
            head = BEDROOM
        adjectives: list[str] = []
        if stated.style in STYLE_NAMES:
            named = self.choose(STYLE_NAMES[stated.style])
            head = f"{head} of {named}" if self.chance(0.15) else named
            if self.plain:
                head = f"landscape, {named}"
        elif stated.style:
            adjectives.append(self.choose(STYLE_ADJECTIVES[stated.style]))
        if surface_first and stated.surfaces:
            surface = stated.surfaces[0]
            if surface.colour:
                adjectives.append(self.choose(COLOUR_NAMES[surface.colour]))
            if surface.material:
                adjectives.append(self.choose(MATERIALS[surface.material]))
        words = " ".join([*adjectives, head])
        return f"{_article(words)} {words}"

    # ------------------------------------------------------------------ sentences

    def sentence(self, stated: Description) -> str:
        """One of the templates, filled."""
        first = bool(stated.surfaces) and (stated.kind == "tabletop" or self.random.random() < 0.5)
        parts = [self.surface(surface) for surface in (stated.surfaces[1:] if first else stated.surfaces)]
        if stated.kind == "tabletop":
            parts = []
        things = [self.thing(thing) for thing in stated.things]
        self.random.shuffle(things)
        if stated.moving and self.random.random() < self.style.motion:
            things.append(f"a moving {stated.moving}")
        parts += things
        if self.random.random() < self.style.absence:
            parts.append(self._absent(stated))
        if self.random.random() < self.style.distraction:
            word = self.random.choice(self.style.distractors)
            parts.insert(self.random.randrange(len(parts) + 1), f"{_article(word)} {word}")
        slots = {"in": "on" if stated.kind == "tabletop" else "in"}
        if stated.kind:
            slots["place"] = self.place(stated, first)
        if parts:
            slots["things"] = _listed(parts)
            slots["there"] = "there is" if parts[0].split()[0] in ("a", "an", "one") else "there are"
        if stated.time:
            slots["time"] = self.random.choice(TIMES[stated.time])
        fitting = [template for template in self.style.templates if _says(template, slots)]
        # a shape that drops nothing is there for every set of facts in training; held-out shapes may lack one
        text = _fill(self.random.choice(fitting), slots) if fitting else " ".join(_facts(slots))
        return text

    def tags(self, stated: Description) -> str:
        """Key words in any order."""
        tags = []
        if stated.kind:
            tags.append(self.place(replace(stated, surfaces=()), False).split(" ", 1)[1])
        tags += [self.surface(surface) for surface in stated.surfaces]
        tags += [self.thing(thing) for thing in stated.things]
        if stated.time:
            tags.append(self.random.choice(TIME_TAGS[stated.time]))
        if self.random.random() < self.style.distraction:
            tags.append(self.random.choice(self.style.distractors))
        self.random.shuffle(tags)
        return ", ".join(tags)

    def _absent(self, stated: Description) -> str:
        there = {thing.noun for thing in stated.things}
        noun = self.random.choice([noun for noun in NOUNS if noun not in there])
        one, many = self.random.choice(NOUNS[noun].names)
        form = self.random.choice((many, one, f"{_article(one)} {one}"))
        return f"{self.random.choice(NEGATIONS)} {form}"

    # ------------------------------------------------------------------ carelessness

    def careless(self, text: str) -> str:
        """Add fillers, forget articles, make typing errors, as the style asks."""
        if self.random.random() < self.style.fillers:
            if self.random.random() < 0.7:
                bare = text.removeprefix("a ").removeprefix("an ")
                prefix = self.random.choice(PREFIXES)
                text = f"{prefix} {text if prefix.endswith('of') else bare}"
            if self.random.random() < 0.4:
                text = f"{text}, {self.random.choice(SUFFIXES)}"
        for _ in range(2):
            if self.random.random() < self.style.fillers:
                words = text.split()
                words.insert(self.random.randrange(len(words) + 1), self.random.choice((*FILLERS, *FUNCTION_WORDS)))
                text = " ".join(words)
        if self.random.random() < self.style.leave_out_articles:
            text = " ".join(word for word in text.split() if word not in ARTICLES)
        if self.random.random() < self.style.misspelling:
            text = _WORD.sub(
                lambda match: misspell(match[0], self.random) if self.random.random() < self.style.error else match[0],
                text,
            )
        return text


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(parts[:-1]) + " and " + parts[-1] if len(parts) > 1 else parts[0]


def _article(words: str) -> str:
    return "an" if words[0] in "aeiou" else "a"


def _facts(slots: dict[str, str]) -> list[str]:
    return [slots[name] for name in ("place", "things", "time") if name in slots]


def _says(template: str, slots: dict[str, str]) -> bool:
    """Whether the template has room for every fact and needs no fact that is not there."""
    needed = set(_SLOT.findall(_OPTIONAL.sub("", template)))
    return needed <= set(slots) and {name for name in ("place", "things", "time") if name in slots} <= set(
        _SLOT.findall(template)
    )


def _fill(template: str, slots: dict[str, str]) -> str:
    def part(match: re.Match[str]) -> str:
        return match[1] if all(name in slots for name in _SLOT.findall(match[1])) else ""

    return _SLOT.sub(lambda match: slots[match[1]], _OPTIONAL.sub(part, template)).strip(" ,")


@cache
def known_words() -> tuple[str, ...]:
    """Every word that captions can contain except distractors and errors, sorted: the vocabulary."""
    texts: list[str] = [
        *FILLERS,
        *FUNCTION_WORDS,
        *ARTICLES,
        *NEGATIONS,
        *TRAIN_TEMPLATES,
        *HELD_OUT_TEMPLATES,
        *PREFIXES,
        *SUFFIXES,
    ]
    texts += [name for noun in NOUNS.values() for pair in noun.names for name in pair]
    for table in (TIMES, TIME_TAGS, MATERIALS, COLOUR_NAMES, KIND_NAMES, STYLE_NAMES, STYLE_ADJECTIVES, PART_NAMES):
        texts += [name for names in table.values() for name in names]
    texts += [word for words in COUNT_WORDS.values() for word in words] + ["moving", BEDROOM]
    cleaned = [_SLOT.sub(" ", text) for text in texts]
    return tuple(sorted({word for text in cleaned for word in _WORD.findall(text)}))
