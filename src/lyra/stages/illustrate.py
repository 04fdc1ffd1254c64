"""A first picture from words alone: the teacher with nothing in its cache."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.diffusion import karras_sigmas, sample
from lyra.models.teacher import Teacher, empty_cache, require_text, text_denoiser
from lyra.models.tokenizer import Tokenizer
from lyra.structures import InputError, Text

GUIDANCE = 3.0
"""How far the first picture follows the text when the caller says nothing."""

_JUDGED_AT = (0.5, 1.5, 4.0)
"""Noise levels of the agreement score: from where texture hides to where only the layout is left."""


@dataclass(frozen=True)
class Candidate:
    """One picture for a text.

    Attributes:
        seed: of its noise.
        rgb: [3, H, W] float 0…1.
        agreement: per cent by which the text lowers the teacher's error in denoising this picture: the larger, the
            more of the picture the text explains; 0 if it explains nothing. ``None`` if the teacher cannot judge.
    """

    seed: int
    rgb: Tensor
    agreement: float | None


def require_illustrator(teacher: Teacher) -> None:
    """Refuse weights that cannot make a first picture.

    Raises:
        InputError: training showed no captions, or no empty caches.
    """
    if not teacher.config.text:
        raise InputError("these teacher weights were trained without captions; give a photo, or train with captions")
    if not teacher.config.illustrates:
        raise InputError("these teacher weights were not trained to make a first picture; give a photo with the prompt")


@torch.no_grad()
def illustrate(
    text: Text,
    teacher: Teacher,
    tokenizer: Tokenizer,
    size: tuple[int, int],
    seeds: Sequence[int] = (0,),
    steps: int | None = None,
    negative: Text | None = None,
    guidance: float = GUIDANCE,
    on_step: Callable[[int, int], None] | None = None,
) -> tuple[Candidate, ...]:
    """Draw one picture per seed, each a clip of one latent frame without cache and without a given first frame.

    Args:
        text: what to show.
        teacher: denoiser; its noise levels are used.
        tokenizer: the tokenizer the teacher was trained with.
        size: height and width in pixels, multiples of twice the tokenizer's cell.
        seeds: of the noise.
        steps: sampling steps, ``None`` for the teacher's own number for this task.
        negative: what not to show, ``None`` for the null text.
        guidance: ``D(negative) + guidance (D(text) - D(negative))`` is what every step goes to.
        on_step: called with (candidate index, step index).

    Raises:
        InputError: the teacher never saw captions, or never empty caches.
    """
    require_illustrator(teacher)
    require_text(teacher, text, negative)
    config = teacher.config
    sigmas = karras_sigmas(steps or config.illustrate_steps, config.sigma_min, config.sigma_max)
    cells = [side // tokenizer.spatial for side in size]
    like = next(teacher.parameters()).new_zeros(1, config.latent_channels, 1, *cells)
    denoise = text_denoiser(teacher, empty_cache(like, config), text, negative, guidance)
    candidates = []
    for index, seed in enumerate(seeds):
        generator = torch.Generator().manual_seed(seed)
        noise = torch.randn(like.shape, generator=generator).to(like)

        def report(step: int, index: int = index) -> None:
            if on_step is not None:
                on_step(index, step)

        latent = sample(denoise, noise, sigmas, report)
        rgb = tokenizer.decode(tokenizer.denormalize(latent))[0, :, 0].clamp(0, 1)
        candidates.append(Candidate(seed, rgb, text_agreement(latent, text, teacher)))
    return tuple(candidates)


@torch.no_grad()
def judge(
    pictures: Tensor, seeds: Sequence[int], text: Text, teacher: Teacher, tokenizer: Tokenizer
) -> tuple[Candidate, ...]:
    """Pictures [N, 3, H, W] 0…1 that something else drew, with their agreement where the teacher can tell."""
    able = teacher.config.text and teacher.config.illustrates
    candidates = []
    for seed, rgb in zip(seeds, pictures, strict=True):
        latent = tokenizer.normalize(tokenizer.encode(rgb[None, :, None]))
        candidates.append(Candidate(seed, rgb, text_agreement(latent, text, teacher) if able else None))
    return tuple(candidates)


@torch.no_grad()
def text_agreement(latent: Tensor, text: Text, teacher: Teacher) -> float:
    """Per cent by which the text lowers the teacher's error in denoising a picture.

    The idea of the diffusion classifier (Li et al. 2023, arXiv 2303.16203), with the null text as the other class. The
    noise is the same for every picture and text, so that numbers compare.

    Args:
        latent: [1, C, 1, h, w] normalised latent of the picture.
        text: what it should show.
        teacher: trained with captions and empty caches.
    """
    inputs = empty_cache(latent, teacher.config)

    def error(given: Text | None) -> float:
        denoise = text_denoiser(teacher, inputs, given, None, 1.0)
        generator = torch.Generator().manual_seed(0)
        total = 0.0
        for level in _JUDGED_AT:
            noise = torch.randn(latent.shape, generator=generator).to(latent)
            clean = denoise(latent + level * noise, latent.new_full((1,), level))
            total += float((clean - latent).square().mean())
        return total

    told, untold = error(text), error(None)
    return round(100 * (untold - told) / max(untold, 1e-12), 2)
