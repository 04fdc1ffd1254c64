"""Captions say what they state, in words that are known, and no two in the same way."""

import random
import re
from dataclasses import replace

import pytest

from lyra.worlds import sample_world
from lyra.worlds.attributes import COUNT_CLASSES, KIND_CLASSES, NOUN_CLASSES, attributes
from lyra.worlds.caption_templates import HELD_OUT_TEMPLATES, TRAIN_TEMPLATES
from lyra.worlds.caption_words import DISTRACTORS, HELD_OUT_DISTRACTORS, NOUNS, TIMES
from lyra.worlds.captions import (
    CLEAN,
    HELD_OUT,
    TRAINING,
    known_words,
    plain_caption,
    rephrase,
    write_caption,
)
from lyra.worlds.description import Description, Surface, Thing
from lyra.worlds.misspell import NEIGHBOURS, SHORTEST, misspell

COURT = Description(
    kind="courtyard",
    surfaces=(Surface("wall", "brick", "red"), Surface("ground", "paving", "grey")),
    things=(Thing("fountain"), Thing("bench", 2, "wood", "brown"), Thing("ivy"), Thing("tree", 5, "", "green")),
    time="sunset",
)


@pytest.fixture(scope="module")
def descriptions(textures):
    return [sample_world(seed, "train", textures).description for seed in range(80)]


def words_of(text: str) -> list[str]:
    return re.findall(r"[a-z0-9]+", text)


def test_the_plain_caption_is_a_sentence_about_the_first_three_things():
    expected = (
        "a courtyard with red brick walls, a grey paved ground, a fountain, two brown wooden benches and ivy, at sunset"
    )
    assert plain_caption(COURT) == expected
    assert plain_caption(replace(COURT, moving="ball")).startswith("a courtyard with red brick walls")
    assert "a moving ball" in plain_caption(replace(COURT, moving="ball"))


def test_a_caption_states_a_part_of_the_facts_and_nothing_else(descriptions):
    generator = random.Random(0)
    for description in descriptions:
        facts = {thing.noun: thing for thing in description.things}
        for _ in range(5):
            text, stated = write_caption(description, generator, TRAINING)
            assert text and not stated.is_empty
            assert stated.kind in ("", description.kind) and stated.time in ("", description.time)
            for thing in stated.things:
                known = facts[thing.noun]
                assert thing.count == (1 if NOUNS[thing.noun].mass else min(known.count, 4))
                assert thing.colour in ("", known.colour) and thing.material in ("", known.material)


def test_clean_captions_name_every_stated_thing_and_time(descriptions):
    generator = random.Random(1)
    for description in descriptions:
        text, stated = write_caption(description, generator, CLEAN)
        for thing in stated.things:
            assert any(form in text for pair in NOUNS[thing.noun].names for form in pair), (text, thing)
        if stated.time:
            assert any(words in text for words in TIMES[stated.time]), (text, stated.time)


def test_a_seed_is_a_caption_and_another_seed_another_one():
    texts = [write_caption(COURT, random.Random(seed)).text for seed in range(40)]
    assert texts == [write_caption(COURT, random.Random(seed)).text for seed in range(40)]
    assert len(set(texts)) == 40


def test_rephrasing_keeps_the_facts_and_changes_the_words():
    generator = random.Random(2)
    first = write_caption(COURT, generator)
    again = [rephrase(first.stated, generator) for _ in range(20)]
    assert all(caption.stated == first.stated for caption in again)
    assert len({caption.text for caption in again}) > 15


def test_without_typing_errors_every_word_is_known(descriptions):
    generator = random.Random(3)
    tidy = replace(TRAINING, misspelling=0.0)
    known = {*known_words(), *DISTRACTORS, *HELD_OUT_DISTRACTORS}
    for description in descriptions:
        for style in (tidy, HELD_OUT):
            text = write_caption(description, generator, style).text
            assert set(words_of(text)) <= known, text


def test_tests_have_sentences_and_distractors_of_their_own(descriptions):
    assert not set(TRAIN_TEMPLATES) & set(HELD_OUT_TEMPLATES)
    assert not set(DISTRACTORS) & set(HELD_OUT_DISTRACTORS)
    assert not {*DISTRACTORS, *HELD_OUT_DISTRACTORS} & set(known_words())
    generator = random.Random(4)
    shapes = [re.split(r"[{\[]", template)[0].strip() for template in HELD_OUT_TEMPLATES]
    beginnings = [shape for shape in shapes if shape]
    texts = [write_caption(description, generator, HELD_OUT).text for description in descriptions]
    assert sum(any(text.startswith(words) for words in beginnings) for text in texts) > 20


def test_nothing_to_say_is_an_empty_caption():
    assert write_caption(Description(), random.Random(0)) == ("", Description())


def test_counts_are_said_in_words_that_mean_them():
    generator = random.Random(5)
    for count, right in ((1, {"a", "an", "one"}), (2, {"two", "2", "pair", "couple"}), (3, {"three", "3", "several"})):
        for _ in range(20):
            text = rephrase(Description(things=(Thing("mug", count),)), generator, CLEAN).text
            said = set(words_of(text))
            assert said & right or (count == 3 and said & {"some", "few"}), text


def test_attributes_are_class_numbers_of_the_facts():
    facts = attributes(COURT)
    assert KIND_CLASSES[facts.kind] == "courtyard"
    counts = {
        noun: COUNT_CLASSES[facts.counts[place]] for place, noun in enumerate(NOUN_CLASSES) if facts.counts[place]
    }
    assert counts == {"fountain": "one", "bench": "two", "ivy": "one", "tree": "several"}
    assert attributes(Description(kind="landscape", style="desert")).material == attributes(
        Description(surfaces=(Surface("ground", "sand"),))
    ).material  # fmt: skip


def test_a_typing_error_is_one_error():
    generator = random.Random(6)
    for word in ("courtyard", "room", "fountains", "mug", "4k"):
        for _ in range(50):
            wrong = misspell(word, generator)
            if len(word) < SHORTEST:
                assert wrong == word
                continue
            if sorted(wrong) == sorted(word):  # two letters swapped, or two equal ones
                assert sum(a != b for a, b in zip(word, wrong, strict=True)) in (0, 2)
            elif len(wrong) == len(word):
                ((a, b),) = [(a, b) for a, b in zip(word, wrong, strict=True) if a != b]
                assert b in NEIGHBOURS[a]
            else:
                longer, shorter = sorted((word, wrong), key=len, reverse=True)
                assert any(longer[:place] + longer[place + 1 :] == shorter for place in range(len(longer)))


def test_keys_are_neighbours_of_each_other():
    assert all(key in NEIGHBOURS[other] for key, others in NEIGHBOURS.items() for other in others)
    assert {"f", "h", "t"} <= set(NEIGHBOURS["g"]) and "p" not in NEIGHBOURS["g"]
