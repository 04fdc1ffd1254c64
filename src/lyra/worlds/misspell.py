"""Typing errors: a neighbouring key, two letters swapped, one left out, doubled, or too many."""

import random

_KEY_ROWS = ("qwertyuiop", "asdfghjkl", "zxcvbnm")
SHORTEST = 4
"""Shorter words are left alone: one wrong letter often makes another word of them."""


def _neighbours() -> dict[str, str]:
    near: dict[str, str] = {}
    for number, row in enumerate(_KEY_ROWS):
        for place, key in enumerate(row):
            around = row[max(place - 1, 0) : place] + row[place + 1 : place + 2]
            for other in (number - 1, number + 1):
                if 0 <= other < len(_KEY_ROWS):
                    around += _KEY_ROWS[other][max(place - 1, 0) : place + 2]
            near[key] = around
    return near


NEIGHBOURS = _neighbours()
"""Letter to the letters on adjacent keys of an English keyboard."""


def misspell(word: str, generator: random.Random) -> str:
    """``word`` with one typing error; words under `SHORTEST` letters, or with other characters, stay as they are."""
    if len(word) < SHORTEST or not all(letter in NEIGHBOURS for letter in word):
        return word
    place = generator.randrange(len(word))
    kind = generator.randrange(5)
    letter = word[place]
    if kind == 0:
        return word[:place] + generator.choice(NEIGHBOURS[letter]) + word[place + 1 :]
    if kind == 1:
        place = min(place, len(word) - 2)
        return word[:place] + word[place + 1] + word[place] + word[place + 2 :]
    if kind == 2:
        return word[:place] + word[place + 1 :]
    if kind == 3:
        return word[:place] + letter + word[place:]
    return word[:place] + generator.choice(NEIGHBOURS[letter]) + word[place:]
