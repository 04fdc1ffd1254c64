"""The teacher imagines one clip per trajectory."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lyra.diffusion import karras_sigmas, sample
from lyra.models.teacher import Teacher, TeacherInputs, pool_mask, require_text, text_denoiser
from lyra.models.tokenizer import Tokenizer
from lyra.nn import reduced_precision
from lyra.structures import Conditioning, Latents, Text


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
    text: Text | None = None,
    negative: Text | None = None,
    guidance: float = 1.0,
    exact: bool = False,
) -> Latents:
    """Sample one latent clip per conditioning, one after the other (on a CPU a batch is no faster).

    With a text, each step goes to ``D(negative) + guidance (D(text) - D(negative))``, where D is the estimate of the
    clean clip and an absent ``negative`` is the null text. At guidance 1 that is ``D(text)``: one evaluation per step,
    ``negative`` has no effect. Any other guidance costs two.

    Args:
        conditionings: V trajectories with the same size and length.
        teacher: denoiser; its noise levels are used.
        tokenizer: the tokenizer the teacher was trained with.
        steps: sampling steps, ``None`` for the teacher's own number.
        seed: every trajectory draws its noise from (seed, index), so a subset gives the same clips.
        on_step: called with (trajectory index, step index).
        text: what the surroundings should show, ``None`` for whatever fits.
        negative: what they should not show.
        guidance: how far to follow the text.
        exact: compute in float32 where bfloat16 would be faster (`lyra.nn.reduced_precision`).

    Raises:
        InputError: a text, but the teacher never saw captions.
    """
    require_text(teacher, text, negative)
    config = teacher.config
    sigmas = karras_sigmas(steps or config.steps, config.sigma_min, config.sigma_max)
    clips = []
    for view, conditioning in enumerate(conditionings):
        warped = conditioning.warped
        with reduced_precision(warped.device, exact):
            inputs = teacher_inputs(tokenizer, conditioning.source[None], warped[None], conditioning.mask[None])
        generator = torch.Generator().manual_seed(seed * 1009 + view)
        noise = torch.randn(inputs.warped[:, 0].shape, generator=generator).to(warped)
        denoise = text_denoiser(teacher, inputs, text, negative, guidance)

        def report(step: int, view: int = view) -> None:
            if on_step is not None:
                on_step(view, step)

        with reduced_precision(warped.device, exact):
            clip = sample(denoise, noise, sigmas, report)
        clips.append(tokenizer.denormalize(clip))
    return Latents(torch.cat(clips), tuple(c.trajectory for c in conditionings), tokenizer.name)
