"""From English to the facts it states: the way back from `captions`, with the same tables and for any word order.

There is no grammar: adjectives and numbers belong to the next noun, and end where an article or a preposition stands.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache

from lyra.models.text.words import nearest_word, split_words, typing_errors
from lyra.worlds.caption_templates import PREFIXES, SUFFIXES
from lyra.worlds.caption_words import (
    ARTICLES,
    BEDROOM,
    COLOUR_NAMES,
    COUNT_WORDS,
    DISTRACTORS,
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
from lyra.worlds.captions import known_words
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.misspell import SHORTEST

MORE_THAN_ONE = 0
"""Count of a thing that is named in the plural without a number."""
SEVERAL = 3
"""Count of three and more."""

_STYLE_KINDS = {"old_town": "street", "modern": "street", "above": "city"}
_LONG_WORD = 8  # letters, from which on a second typing error is forgiven
_VAGUE = {"dark"}  # more often said of a colour than of the time of day


@dataclass(frozen=True)
class Reading:
    """What a text states.

    Attributes:
        stated: the facts. A thing's count is 1, 2, `SEVERAL` or `MORE_THAN_ONE`; a surface without a part is a
            material or colour of the place itself, or of nothing in particular.
        absent: nouns that should not be there.
        typed: noun to what the text calls it.
    """

    stated: Description
    absent: tuple[str, ...] = ()
    typed: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class _Sense:
    """One meaning of a phrase: role, canonical word, and for nouns whether it can only be plural."""

    role: str
    value: str
    plural: bool = False


def read_words(text: str) -> Reading:
    """Find the facts of ``text``; words that no caption has, even with a typing error, are passed over."""
    reader = _Reader([mend(word) for word in split_words(text)])
    reader.read()
    return reader.reading()


def mend(word: str) -> str:
    """The caption word that ``word`` is with a typing error, or ``word``."""
    known = _vocabulary()
    if word in known or len(word) < SHORTEST or word in _strangers():
        return word
    nearest = nearest_word(word, known)
    if nearest is None or (len(word) < _LONG_WORD and typing_errors(word, nearest) > 1):
        return word
    return nearest


@cache
def _vocabulary() -> dict[str, None]:
    return dict.fromkeys((*known_words(), *(word for phrase in _phrases() for word in phrase)))


@cache
def _strangers() -> frozenset[str]:
    """Real words that are near to caption words but mean something else, such as kitchen and kitten."""
    return frozenset((*DISTRACTORS, *HELD_OUT_DISTRACTORS, *(f"{word}s" for word in DISTRACTORS)))


@cache
def _phrases() -> dict[tuple[str, ...], tuple[_Sense, ...]]:
    """Every phrase that means something, and its meanings."""
    senses: dict[tuple[str, ...], dict[_Sense, None]] = {}

    def add(phrases: Iterable[str], role: str, value: str, plural: bool = False) -> None:
        for phrase in phrases:
            words = split_words(phrase)
            for form in (words, tuple(word for word in words if word not in ARTICLES)):  # articles may be forgotten
                if form and form not in {("in",), ("of",)}:
                    senses.setdefault(form, {})[_Sense(role, value, plural)] = None

    for noun, entry in NOUNS.items():
        add([one for one, _ in entry.names], "thing", noun)
        add([many for one, many in entry.names if many != one], "thing", noun, True)
    for role, table in (
        ("kind", KIND_NAMES), ("style", STYLE_NAMES), ("manner", STYLE_ADJECTIVES), ("part", PART_NAMES),
        ("material", MATERIALS), ("colour", COLOUR_NAMES), ("time", TIMES), ("time", TIME_TAGS),
    ):  # fmt: skip
        for value, names in table.items():
            add([name for name in names if name not in _VAGUE], role, value)
    add(["woods"], "style", "forest")
    add([BEDROOM], "bedroom", "")
    for count in sorted(COUNT_WORDS):
        words = [word for word in COUNT_WORDS[count] if word and word not in ARTICLES]
        add([word for word in words if split_words(word) not in senses], "count", str(min(count, SEVERAL)))
    add(["six", "seven", "eight", "nine", "ten", "dozens of", "a dozen"], "count", str(SEVERAL))
    pictures = [f"{noun} {word}" for noun in ("picture", "photo", "view", "image") for word in ("of", "showing")]
    for said in (*PREFIXES, *SUFFIXES, *pictures):
        if len(split_words(said)) > 1:
            add([said], "filler", "")
    return {phrase: tuple(found) for phrase, found in senses.items()}


class _Reader:
    """Reads from left to right."""

    def __init__(self, words: list[str]) -> None:
        self.words = words
        self.kind = self.style = self.time = ""
        self.things: dict[str, Thing] = {}
        self.typed: dict[str, str] = {}
        self.surfaces: list[Surface] = []
        self.absent: list[str] = []
        self.before = ""  # the last article, preposition or the like
        self.tabletop = ""  # what a table was called, in case that it is the place
        self.forget()

    def forget(self) -> None:
        """Adjectives end here."""
        self.count, self.colour, self.material, self.manner, self.negated = "", "", "", "", False

    def read(self) -> None:
        place = 0
        while place < len(self.words):
            phrase, senses = self._longest(place)
            if not senses:
                self._pass(self.words[place])
            else:
                self._take(self._meant(senses, place + len(phrase)), " ".join(phrase))
            place += max(len(phrase), 1)
        self._loose()

    def reading(self) -> Reading:
        kind, things = self.kind, dict(self.things)
        if not kind and self.tabletop and things.get("table", Thing("table")).count == 1:
            table = things.pop("table")
            kind, surface = "tabletop", Surface("", table.material, table.colour)
            if table.material or table.colour:
                self.surfaces.insert(0, surface)
        stated = Description(kind, self.style, tuple(dict.fromkeys(self.surfaces)), tuple(things.values()), self.time)
        return Reading(stated, tuple(noun for noun in self.absent if noun not in things), self.typed)

    def _longest(self, place: int) -> tuple[tuple[str, ...], tuple[_Sense, ...]]:
        for length in range(min(6, len(self.words) - place), 0, -1):
            phrase = tuple(self.words[place : place + length])
            if phrase in _phrases():
                return phrase, _phrases()[phrase]
            if length == 1 and phrase[0].isdecimal():
                return phrase, (_Sense("count", str(min(int(phrase[0]), SEVERAL)) if int(phrase[0]) else ""),)
        return (), ()

    def _meant(self, senses: tuple[_Sense, ...], after: int) -> _Sense:
        """A stone wall has the material stone; stone before anything else is a rock. A table is a thing at first."""
        by_role = {sense.role: sense for sense in senses}
        if "material" in by_role and "thing" in by_role:
            following = {sense.role for sense in self._longest(after)[1]} if after < len(self.words) else set()
            return by_role["material" if following & {"thing", "part", "kind", "style", "colour"} else "thing"]
        if "manner" in by_role and len(senses) > 1 and "kind" not in by_role:
            return _Sense("manner", " ".join(sense.value for sense in senses if sense.role == "manner"))
        return by_role.get("thing", senses[0])

    def _pass(self, word: str) -> None:
        if word in NEGATIONS:
            self._loose()
            self.negated = True
        elif word in ARTICLES or word in FUNCTION_WORDS:
            if not (self.negated and word in (*ARTICLES, "any")):
                self._loose()
                self.count = "1" if word in ("a", "an") else ""
            if word not in ARTICLES:
                self.before = word

    def _loose(self) -> None:
        """Keep adjectives that belong to no noun."""
        if (self.material or self.colour) and not self.negated:
            self.surfaces.append(Surface("", self.material, self.colour))
        self.forget()

    def _take(self, sense: _Sense, phrase: str) -> None:
        if sense.role == "time":
            self.time = self.time or sense.value
            self._loose()
        elif sense.role in ("count", "colour", "material", "manner"):
            setattr(self, sense.role, sense.value)
        elif sense.role == "filler":
            self._loose()
        else:
            self._head(sense, phrase)
            self.before = ""
            self.forget()

    def _head(self, sense: _Sense, phrase: str) -> None:
        if sense.role == "thing":
            self._thing(sense, phrase)
        elif self.negated:
            return
        elif sense.role == "part":
            self.surfaces.append(Surface(sense.value, self.material, self.colour))
        else:
            if sense.role == "bedroom":
                self.things.setdefault("bed", Thing("bed"))
            kind = {"kind": sense.value, "style": "landscape", "bedroom": "room"}[sense.role]
            if self.kind and kind != self.kind:
                return  # one place is enough
            self.kind = kind
            if sense.role == "style":
                self.style = self.style or sense.value
            fitting = [style for style in self.manner.split() if _STYLE_KINDS[style] == kind]
            self.style = self.style or next(iter(fitting), "")
            if self.material or self.colour:
                self.surfaces.insert(0, Surface("", self.material, self.colour))

    def _thing(self, sense: _Sense, phrase: str) -> None:
        noun = sense.value
        if self.negated:
            self.absent.append(noun)
            return
        if noun == "table" and not sense.plural and (self.before == "on" or not self.things):
            self.tabletop = phrase
        if NOUNS[noun].mass:
            count = 1
        elif self.count and not (sense.plural and self.count == "1"):
            count = int(self.count)
        else:
            count = MORE_THAN_ONE if sense.plural else 1
        self.typed.setdefault(noun, phrase)
        self.things.setdefault(noun, Thing(noun, count, self.material, self.colour))
