"""What a description says is what the source camera sees."""

import random

import numpy as np
import pytest

from lyra.worlds import sample_world
from lyra.worlds.caption_words import CATEGORY_MATERIAL, NOUNS, SKY_WORDS, TIMES
from lyra.worlds.colours import COLOURS, colour_name
from lyra.worlds.layout.builder import Builder, Material
from lyra.worlds.layout.visible import visible_things

FOV = 1.2
FORWARD = np.eye(4, dtype=np.float32)
FORWARD[1, 3] = -1.5  # eyes 1.5 m above the ground


@pytest.fixture
def build(textures) -> Builder:
    return Builder(random.Random(0), textures.catalogue)


def seen(build: Builder) -> dict[str, int]:
    things = visible_things(build.table(), build.mentions, build.catalogue, FORWARD, FOV)
    return {thing.noun: thing.count for thing in things}


def crate(build: Builder, x: float, z: float, size: float = 0.5, noun: str = "crate", count: int = 1) -> None:
    build.new_object(noun, count)
    build.box((x, 1.5, z), (size, size, size), Material(0, 1.0))
    build.end_object()


def test_things_before_the_camera_are_counted_and_others_are_not(build):
    crate(build, 0.0, 5.0)
    crate(build, 1.5, 5.0)
    crate(build, -1.5, 6.0, noun="barrel", count=2)
    crate(build, 0.0, -5.0, noun="bench")  # behind the camera
    crate(build, 9.0, 5.0, noun="sofa")  # beside the picture
    crate(build, 0.0, 300.0, noun="cottage")  # a dot
    assert seen(build) == {"crate": 2, "barrel": 2}


def test_a_wall_hides_and_a_fence_does_not(build):
    crate(build, 0.0, 8.0)
    build.box((0, 1.5, 4.0), (5.0, 3.0, 0.1), Material(0, 1.0))
    assert seen(build) == {}
    other = Builder(random.Random(0), build.catalogue)
    crate(other, 0.0, 8.0)
    other.upright((0, 1.5, 4.0), 5.0, 3.0, np.pi, Material(0, 1.0), mask=other.catalogue.mask_kinds["fence"][0])
    assert seen(other) == {"crate": 1}


def test_flat_things_are_as_large_as_they_look(build):
    for noun, size, x in (("poster", 0.05, -1.0), ("mural", 0.6, 1.0)):
        build.new_object(noun)
        build.upright((x, 1.5, 5.0), size, size, np.pi, Material(0, 1.0))
        build.end_object()
    assert seen(build) == {"mural": 1}


def test_the_most_prominent_comes_first(build):
    crate(build, -1.0, 8.0, 0.3)
    crate(build, 1.0, 8.0, 0.9, noun="barrel")
    assert list(seen(build)) == ["barrel", "crate"]


def test_masses_are_not_counted(build):
    crate(build, -1.0, 5.0, noun="ivy")
    crate(build, 1.0, 5.0, noun="ivy")
    assert seen(build) == {"ivy": 1}


def test_worlds_describe_themselves_in_canonical_words(textures):
    materials, times = {*CATEGORY_MATERIAL.values(), ""}, {*TIMES, ""}
    named = set()
    for seed in range(60):
        description = sample_world(seed, "train", textures).description
        assert description.surfaces or description.kind == "landscape"
        assert description.time in times and (description.kind != "tabletop" or not description.time)
        for surface in description.surfaces:
            assert surface.material in materials and surface.colour in COLOURS
        for thing in description.things:
            noun = NOUNS[thing.noun]
            assert thing.count >= 1 and thing.material in materials and (not thing.colour or thing.colour in COLOURS)
            assert noun.takes_colour or not thing.colour
            named.add(thing.noun)
        assert not description.moving or description.moving in {thing.noun for thing in description.things}
    assert len(named) > 25


def test_every_time_word_of_the_skies_is_known(textures):
    words = {light.time_of_day for light in textures.catalogue.sky_lights}
    assert words <= set(SKY_WORDS) and set(SKY_WORDS.values()) == set(TIMES)


@pytest.mark.parametrize(
    ("srgb", "name"),
    [
        ((0.92, 0.91, 0.9), "white"), ((0.5, 0.5, 0.5), "grey"), ((0.06, 0.06, 0.07), "black"),
        ((0.75, 0.1, 0.1), "red"), ((0.95, 0.55, 0.1), "orange"), ((0.5, 0.33, 0.2), "brown"),
        ((0.9, 0.85, 0.7), "beige"), ((0.95, 0.85, 0.2), "yellow"), ((0.3, 0.55, 0.25), "green"),
        ((0.2, 0.35, 0.7), "blue"), ((0.45, 0.2, 0.6), "purple"), ((0.95, 0.6, 0.65), "pink"),
    ],
)  # fmt: skip
def test_colours_have_their_plain_names(srgb, name):
    assert colour_name([value**2.2 for value in srgb]) == name


def test_names_of_colours_are_total():
    generator = np.random.default_rng(0)
    names = {colour_name(rgb) for rgb in generator.uniform(0, 1.3, (4000, 3)) ** 2.2}
    assert names <= set(COLOURS) and len(names) == len(COLOURS)
