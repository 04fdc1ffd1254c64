"""Texts are read back: what captions state is found, whatever the words, the order and a typing error."""

import random

import pytest

from lyra.worlds import sample_world
from lyra.worlds.captions import CLEAN, HELD_OUT, HELD_OUT_MISSPELT, CaptionStyle, write_caption
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.reading import MORE_THAN_ONE, SEVERAL, mend, read_words


@pytest.mark.parametrize(
    ("text", "stated"),
    [
        (
            "a stone courtyard with two columns at sunset",
            Description("courtyard", surfaces=(Surface("", "stone"),), things=(Thing("arcade", 2),), time="sunset"),
        ),
        (
            "ROOM, 3 chairs; blue settee!",
            Description("room", things=(Thing("chair", SEVERAL), Thing("sofa", 1, colour="blue"))),
        ),
        (
            "a room with white brick walls and a wooden table",
            Description("room", surfaces=(Surface("wall", "brick", "white"),), things=(Thing("table", 1, "wood"),)),
        ),
        (
            "two mugs and a book on a wooden table",
            Description("tabletop", surfaces=(Surface("", "wood"),), things=(Thing("mug", 2), Thing("book"))),
        ),
        ("a stone at a stone wall", Description("", "", (Surface("wall", "stone"),), (Thing("rock"),))),
        ("pine trees", Description(things=(Thing("conifer", MORE_THAN_ONE),))),
        ("a bedroom at night", Description("room", things=(Thing("bed"),), time="night")),
        ("narrow street under a grey sky", Description("street", "old_town", time="cloudy")),
        ("a forrest with a fountian", Description("landscape", "forest", things=(Thing("fountain"),))),
        ("a picture of a lake in the morning", Description("landscape", "lake", time="morning")),
        ("a dark brown sofa", Description(things=(Thing("sofa", 1, colour="brown"),))),
        ("a unicorn in a kitchen", Description()),
        ("комната", Description()),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_the_facts_of_prompts_are_found(text: str, stated: Description) -> None:
    assert read_words(text).stated == stated


def test_what_should_not_be_there_is_no_wish_for_it() -> None:
    reading = read_words("a street without cars, no trees, with a bench")
    assert reading.absent == ("car", "tree") and [thing.noun for thing in reading.stated.things] == ["bench"]
    assert read_words("two columns").typed == {"arcade": "columns"}


def test_only_typing_errors_are_mended() -> None:
    assert (mend("courtyrad"), mend("sofas"), mend("cra")) == ("courtyard", "sofas", "cra")
    assert (mend("kitchen"), mend("castle")) == ("kitchen", "castle"), "not a kitten, no cattle"


@pytest.mark.parametrize(("style", "least"), [(CLEAN, 0.98), (HELD_OUT, 0.98), (HELD_OUT_MISSPELT, 0.9)])
def test_captions_of_unseen_worlds_are_read_back(textures, style: CaptionStyle, least: float) -> None:
    generator = random.Random(0)
    hits, total, invented = 0, 0, 0
    for seed in range(60):
        caption = write_caption(sample_world(seed, "test", textures).description, generator, style)
        stated, found = caption.stated, read_words(caption.text).stated
        there, named = {thing.noun for thing in found.things}, {thing.noun for thing in stated.things}
        pairs = [(getattr(stated, name), getattr(found, name)) for name in ("kind", "style", "time")]
        hits += len(there & named) + sum(told == read for told, read in pairs if told)
        total += len(named) + sum(bool(told) for told, _ in pairs)
        invented += len(there - named)
    assert total > 150 and hits >= least * total and invented <= 0.02 * total, (hits, total, invented)
