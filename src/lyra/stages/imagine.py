"""The teacher imagines one clip per trajectory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lyra.diffusion import karras_sigmas, sample
from lyra.models.teacher import Teacher, TeacherInputs, pool_mask
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, Latents


def teacher_inputs(tokenizer: Tokenizer, source: Tensor, warped: Tensor, mask: Tensor) -> TeacherInputs:
    """Encode the conditioning of B clips for a teacher with one buffer and pooled masks.

    Args:
        tokenizer: encodes pixels.
        source: [B, 3, H, W] first frames, 0…1.
        warped: [B, T, 3, H, W] warped cache, holes filled.
        mask: [B, T, H, W] visibility.
    """
    first = tokenizer.normalize(tokenizer.encode(source[:, :, None]))
    clip = tokenizer.normalize(tokenizer.encode(warped.transpose(1, 2)))
    return TeacherInputs(first, clip[:, None], pool_mask(mask, tokenizer.temporal, tokenizer.spatial)[:, None])


@torch.no_grad()
def imagine(
    conditionings: Sequence[Conditioning],
    teacher: Teacher,
    tokenizer: Tokenizer,
    steps: int | None = None,
    seed: int = 0,
    on_step: Callable[[int, int], None] | None = None,
) -> Latents:
    """Sample one latent clip per conditioning, one after the other (on a CPU a batch is no faster).

    Args:
        conditionings: V trajectories with the same size and length.
        teacher: denoiser; its noise levels are used.
        tokenizer: the tokenizer the teacher was trained with.
        steps: sampling steps, ``None`` for the teacher's own number.
        seed: every trajectory draws its noise from (seed, index), so a subset gives the same clips.
        on_step: called with (trajectory index, step index).
    """
    config = teacher.config
    sigmas = karras_sigmas(steps or config.steps, config.sigma_min, config.sigma_max)
    clips = []
    for view, conditioning in enumerate(conditionings):
        inputs = teacher_inputs(
            tokenizer, conditioning.source[None], conditioning.warped[None], conditioning.mask[None]
        )
        generator = torch.Generator().manual_seed(seed * 1009 + view)
        noise = torch.randn(inputs.warped[:, 0].shape, generator=generator).to(inputs.warped)

        def denoise(x: Tensor, sigma: Tensor, inputs: TeacherInputs = inputs) -> Tensor:
            return teacher(x, sigma, inputs)

        def report(step: int, view: int = view) -> None:
            if on_step is not None:
                on_step(view, step)

        clips.append(tokenizer.denormalize(sample(denoise, noise, sigmas, report)))
    return Latents(torch.cat(clips), tuple(c.trajectory for c in conditionings), tokenizer.name)
