"""Prompts as people type them: words, letter groups, guesses, and what is refused."""

import pytest

from lyra.models.text import check_prompt, split_words
from lyra.models.text.words import MAX_CHARACTERS, nearest_word, ngram_rows
from lyra.structures import InputError


@pytest.mark.parametrize(
    ("typed", "words"),
    [
        ("A Stone COURTYARD", ("a", "stone", "courtyard")),
        ("wood-panelled, two/three rooms!", ("wood", "panelled", "two", "three", "rooms")),
        ("the café's façade", ("the", "cafes", "facade")),
        ("it’s 4K", ("its", "4k")),
        ("under_score", ("under", "score")),
        ("комната лампой 部屋", ("комната", "лампой", "部屋")),
        ("…!?", ()),
    ],
)
def test_words_are_lower_case_and_plain(typed, words):
    assert split_words(typed) == words


def test_white_space_and_invisible_marks_are_tidied():
    assert check_prompt("  a\troom\r\n with\u200b a\u202e lamp \ufeff", 64) == "a room with a lamp"


@pytest.mark.parametrize(
    ("prompt", "says"),
    [
        ("", "is empty"),
        (" \n\t ", "is empty"),
        ("\u200b", "is empty"),
        ("?!… —", "has no words"),
        ("a" * 10_000, "10,000 characters"),
        ("room " * 65, "65 words"),
        ("a room\x07", r"control character \(U\+0007\) at position 7"),
        ("a\x00room", r"U\+0000"),
        ("a \ud800 room", r"U\+D800"),
    ],
    ids=["empty", "blank", "invisible", "signs", "endless", "too many words", "bell", "null", "half a character"],
)
def test_prompts_that_are_refused(prompt, says):
    with pytest.raises(InputError, match=says) as refusal:
        check_prompt(prompt, 64)
    assert "; " in str(refusal.value) and len(str(refusal.value)) < 200


def test_the_longest_allowed_prompt_is_allowed():
    assert check_prompt("x" * MAX_CHARACTERS, 64) == "x" * MAX_CHARACTERS


def test_letter_groups_are_those_of_the_marked_word():
    rows = ngram_rows("room", (3, 4), 10_000)
    assert len(rows) == 4 + 3  # <ro roo oom om>, <roo room oom>
    assert ngram_rows("room", (3, 4), 10_000) == rows and all(1 <= row < 10_000 for row in rows)
    assert set(ngram_rows("roof", (3, 4), 10_000)) & set(rows) == set(rows[:2]) | {rows[4]}
    assert len(ngram_rows("a", (4,), 100)) == 1, "a word shorter than the groups has one row of its own"


@pytest.mark.parametrize(
    ("typed", "guess"),
    [
        ("fountian", "fountain"),  # two letters swapped
        ("tabel", "table"),  # so short a word may have one error, and a swap is one
        ("fountin", "fountain"),
        ("fouuntain", "fountain"),
        ("fpuntain", "fountain"),
        ("house", "house"),
        ("horse", "house"),
        ("unicorn", None),
        ("cat", "car"),
    ],
)
def test_the_nearest_word_is_a_few_typing_errors_away(typed, guess):
    assert nearest_word(typed, ["fountain", "house", "car", "a", "table"]) == guess
