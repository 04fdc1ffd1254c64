"""Captions of training clips as text tokens."""

import random
from collections.abc import Sequence

import torch
from torch import Tensor

from lyra.models.text import TextEncoder
from lyra.worlds.captions import TRAINING, CaptionStyle, write_caption
from lyra.worlds.description import Description


def seeded_random() -> random.Random:
    """A generator of Python's kind that follows torch's seed, so that one seed makes a whole run."""
    return random.Random(int(torch.randint(2**31, ())))


def caption_tokens(
    encoder: TextEncoder,
    worlds: Sequence[Description],
    views: int,
    uncaptioned: int = 0,
    style: CaptionStyle = TRAINING,
) -> Tensor:
    """Tokens [W * views + uncaptioned, L, D]: every clip of a world gets a caption of its own, the last have none.

    Args:
        encoder: frozen.
        worlds: what W worlds show.
        views: clips of each, one after the other.
        uncaptioned: clips without words, such as photographs, of which the texture pack does not say what they show.
        style: how captions are written.
    """
    generator = seeded_random()
    captions = [write_caption(world, generator, style).text for world in worlds for _ in range(views)]
    tokens, _ = encoder.encode([*captions, *[""] * uncaptioned])
    return tokens


def drop_rows(text: Tensor, share: float) -> Tensor:
    """Text tokens [B, L, D] with a random ``share`` of the rows made zero, which is the null text."""
    return text * (torch.rand(len(text), 1, 1, device=text.device) >= share)
