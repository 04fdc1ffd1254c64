"""First pictures of prompts without a network that draws: views of procedural worlds that fit the words."""

import math
from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path

from torch.nn import functional as F

from lyra.models.text import TextEncoder
from lyra.results import FirstPicture, GenerateOptions, Wording
from lyra.stages import Candidate
from lyra.structures import Text
from lyra.worlds import TextureSet, load_textures, picture_worlds
from lyra.worlds.matching import SAMPLES, Match, find_worlds
from lyra.worlds.reading import Reading, read_words

PACK_TILES = 160
"""Of a texture pack so many tiles are read, spread over its categories: reading all takes three times as long."""


class WorldPainter:
    """Films the worlds that fit a prompt best; a `lyra.results.Painter`.

    Args:
        textures: texture pack, ``None`` for the usual places, else textures by formula.
        samples: worlds that are looked at for each prompt, ``None`` for `SAMPLES`.
    """

    def __init__(self, textures: Path | None = None, samples: int | None = None) -> None:
        self._folder, self._samples = textures, samples or SAMPLES

    def __call__(
        self, wording: Wording, options: GenerateOptions, size: tuple[int, int], encoder: TextEncoder
    ) -> FirstPicture:
        """The ``options.candidates`` worlds that grant most of the prompt, the best first.

        Args:
            wording: what is wanted; things of its negative prompt count against a world.
            options: ``seed`` (another one looks at other worlds), ``candidates`` and ``choose``.
            size: height and width in pixels.
            encoder: decides between worlds that grant as much, by what else their captions say.
        """
        matches = find_worlds(
            self._wanted(wording), self._textures, options.seed, options.candidates, self._samples,
            lambda captions: _likeness(wording.text, captions, encoder),
        )  # fmt: skip
        pictures = picture_worlds([match.world for match in matches], self._textures, *size)
        device = wording.text.tokens.device
        candidates = tuple(
            Candidate(match.world.seed, rgb.clamp(0, 1).to(device), None)
            for match, rgb in zip(matches, pictures.rgb, strict=True)
        )
        chosen = 0 if options.choose is None else options.choose - 1
        focal = float(pictures.K[chosen, 0, 0]) / size[1]
        source = {
            "drawn_by": "worlds",
            "textures": "procedural" if self._textures.is_procedural else "texture pack",
        }
        fov = math.degrees(2 * math.atan(0.5 / focal))
        return FirstPicture(candidates, chosen, source, tuple(_note(match) for match in matches), fov)

    @cached_property
    def _textures(self) -> TextureSet:
        return load_textures(self._folder, "train", PACK_TILES)

    def _wanted(self, wording: Wording) -> Reading:
        wanted = read_words(wording.text.prompt)
        if wording.negative is None:
            return wanted
        unwanted = (thing.noun for thing in read_words(wording.negative.prompt).stated.things)
        asked_for = {thing.noun for thing in wanted.stated.things}
        absent = dict.fromkeys((*wanted.absent, *(noun for noun in unwanted if noun not in asked_for)))
        return replace(wanted, absent=tuple(absent))


def _note(match: Match) -> dict[str, object]:
    """What ``sample_world`` needs to make the world again, and what it has of the prompt."""
    return {
        "layout": match.layout,
        "light": match.light,
        "caption": match.world.caption,
        "met": list(match.met),
        "missing": list(match.missing),
        "met_percent": round(100 * match.score, 1),
    }


def _likeness(text: Text, captions: Sequence[str], encoder: TextEncoder) -> list[float]:
    """Cosine between the tokens of the prompt and those of each caption."""
    tokens, _ = encoder.encode(captions)
    return F.cosine_similarity(tokens.flatten(1), text.tokens.flatten()[None]).tolist()
