"""From a prompt to words, and from a word to the letter groups that spell it."""

import re
import unicodedata
import zlib
from collections.abc import Iterable

from lyra.structures import InputError

MAX_CHARACTERS = 1000
LONGEST_WORD = 32
"""Letters of a word that are read; the rest of a longer one says nothing new."""

_WORD = re.compile(r"[^\W_]+")
_ACCENTED = re.compile(r"([a-z])[\u0300-\u036f]+")
_APOSTROPHES = re.compile(r"['\u2019`]")
_WHITESPACE_CONTROLS = "\t\n\r\v\f"


def check_prompt(prompt: str, max_words: int) -> str:
    """The prompt with its white space tidied.

    Line breaks and tabs count as spaces; marks that print nothing (zero-width and direction marks) are left out.

    Args:
        prompt: what the user typed.
        max_words: longest prompt.

    Raises:
        InputError: empty, without any word, too long, or with a control character.
    """
    if len(prompt) > MAX_CHARACTERS:
        raise InputError(f"the prompt has {len(prompt):,} characters; say it in at most {MAX_CHARACTERS:,}")
    visible = "".join(letter for letter in prompt if unicodedata.category(letter) != "Cf")
    for place, letter in enumerate(visible, 1):
        if unicodedata.category(letter) in ("Cc", "Cs", "Co", "Cn") and letter not in _WHITESPACE_CONTROLS:
            raise InputError(f"the prompt has a control character (U+{ord(letter):04X}) at position {place}; remove it")
    tidy = " ".join(visible.split())
    words = split_words(tidy)
    if not words:
        said = "is empty" if not tidy else f"'{tidy[:40]}' has no words"
        raise InputError(f"the prompt {said}; describe a scene, such as 'a courtyard with a fountain at sunset'")
    if len(words) > max_words:
        raise InputError(f"the prompt has {len(words)} words; say it in at most {max_words}")
    return tidy


def split_words(text: str) -> tuple[str, ...]:
    """Lower-case words without the accents of Latin letters; punctuation separates, apostrophes do not."""
    decomposed = unicodedata.normalize("NFKD", _APOSTROPHES.sub("", text).casefold())
    plain = unicodedata.normalize("NFKC", _ACCENTED.sub(r"\1", decomposed))
    return tuple(word[:LONGEST_WORD] for word in _WORD.findall(plain))


def ngram_rows(word: str, lengths: Iterable[int], buckets: int) -> list[int]:
    """Rows 1 … buckets - 1 of the groups of ``lengths`` letters in ``<word>``, by a hash that never changes."""
    marked = f"<{word}>"
    groups = [marked[start : start + n] for n in lengths for start in range(len(marked) - n + 1)]
    return [zlib.crc32(group.encode()) % (buckets - 1) + 1 for group in groups or [marked]]


def nearest_word(word: str, known: Iterable[str]) -> str | None:
    """The known word with the fewest typing errors between, or ``None`` if that would be a third of the letters.

    Ties go to the word that comes first in the alphabet.
    """
    limit = max(1, (len(word) - 1) // 3)
    best: tuple[int, str] | None = None
    for other in known:
        if abs(len(other) - len(word)) > limit or len(other) < 2:
            continue
        distance = typing_errors(word, other)
        if distance <= limit and (best is None or (distance, other) < best):
            best = (distance, other)
    return best[1] if best else None


def typing_errors(first: str, second: str) -> int:
    """Letters changed, left out, added, or swapped with their neighbour (optimal string alignment distance)."""
    before: list[int] = []
    row = list(range(len(second) + 1))
    for i, a in enumerate(first, 1):
        following = [i]
        for j, b in enumerate(second, 1):
            cost = min(row[j] + 1, following[j - 1] + 1, row[j - 1] + (a != b))
            if i > 1 and j > 1 and a == second[j - 2] and first[i - 2] == b:
                cost = min(cost, before[j - 2] + 1)
            following.append(cost)
        before, row = row, following
    return row[-1]
