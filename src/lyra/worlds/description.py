"""What a world shows, in canonical words: the facts that captions state and probes look for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Surface:
    """A large surface of the setting.

    Attributes:
        part: wall, floor, ground or top.
        material: word of `caption_words.MATERIALS`, or "" where it has no plain name.
        colour: word of `colours.COLOURS`, or "" where it is not worth a word.
    """

    part: str
    material: str
    colour: str = ""


@dataclass(frozen=True)
class Thing:
    """One kind of object.

    Attributes:
        noun: word of `caption_words.NOUNS`.
        count: how many are seen; masses such as ivy count as one.
        material, colour: of the most prominent one, or "".
    """

    noun: str
    count: int = 1
    material: str = ""
    colour: str = ""


@dataclass(frozen=True)
class Description:
    """One scene from its source camera.

    Attributes:
        kind: room, street, courtyard, landscape, tabletop, closeup or city; "" for unstated.
        style: such as ``old_town`` or ``desert``; "" for none.
        surfaces: the most telling one first; its material is the material of the scene.
        things: the most prominent one first.
        time: word of `caption_words.TIMES`, or "" where it cannot be seen.
        moving: noun of what moves when the scene is filmed over time, or "".
    """

    kind: str = ""
    style: str = ""
    surfaces: tuple[Surface, ...] = ()
    things: tuple[Thing, ...] = ()
    time: str = ""
    moving: str = ""

    @property
    def is_empty(self) -> bool:
        """Whether nothing at all is stated."""
        return not (self.kind or self.style or self.surfaces or self.things or self.time)
