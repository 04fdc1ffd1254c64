"""The teacher imagines one clip per trajectory."""

from collections.abc import Callable, Sequence
from threading import Lock

import torch
from torch import Tensor

from lyra.diffusion import sample
from lyra.models.teacher import Teacher, TeacherInputs, pool_mask, require_text, text_denoiser
from lyra.models.tokenizer import Tokenizer
from lyra.nn import reduced_precision, side_by_side
from lyra.structures import Conditioning, Latents, Text


def teacher_inputs(tokenizer: Tokenizer, source: Tensor | None, warped: Tensor, mask: Tensor) -> TeacherInputs:
    """Encode the conditioning of B clips for a teacher with one buffer and pooled masks.

    Args:
        tokenizer: encodes pixels.
        source: [B, 3, H, W] first frames, 0…1; ``None`` where they are those of ``warped``, whose latents are then
            taken: tokenizers are causal, the latent of a picture is the first one of its clip.
        warped: [B, T, 3, H, W] warped cache, holes filled and edges drawn.
        mask: [B, T, H, W] visibility.
    """
    clip = tokenizer.normalize(tokenizer.encode(warped.transpose(1, 2)))
    first = clip[:, :, :1] if source is None else tokenizer.normalize(tokenizer.encode(source[:, :, None]))
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
    """Sample one latent clip per conditioning, on a CPU two side by side (a batch is no faster), elsewhere one by one.

    With a text, each step goes to ``D(negative) + guidance (D(text) - D(negative))``, where D is the estimate of the
    clean clip and an absent ``negative`` is the null text. At guidance 1 that is ``D(text)``: one evaluation per step,
    ``negative`` has no effect. Any other guidance costs two.

    Args:
        conditionings: V trajectories with the same size and length.
        teacher: denoiser; its noise levels are used.
        tokenizer: the tokenizer the teacher was trained with.
        steps: sampling steps, ``None`` for the teacher's own number.
        seed: every trajectory draws its noise from (seed, index), so a subset gives the same clips.
        on_step: called with (trajectory index, step index), one call at a time.
        text: what the surroundings should show, ``None`` for whatever fits.
        negative: what they should not show.
        guidance: how far to follow the text.
        exact: compute in float32 where bfloat16 would be faster (`lyra.nn.reduced_precision`).

    Raises:
        InputError: a text, but the teacher never saw captions.
    """
    require_text(teacher, text, negative)
    sigmas = teacher.config.levels(steps)
    device = conditionings[0].warped.device
    telling = Lock()

    def clip(view: int) -> Tensor:
        conditioning = conditionings[view]
        warped = conditioning.warped
        source = None if torch.equal(conditioning.source, warped[0]) else conditioning.source[None]
        with reduced_precision(device, exact):
            inputs = teacher_inputs(tokenizer, source, warped[None], conditioning.mask[None])
        generator = torch.Generator().manual_seed(seed * 1009 + view)
        noise = torch.randn(inputs.warped[:, 0].shape, generator=generator).to(warped)
        denoise = text_denoiser(teacher, inputs, text, negative, guidance)

        def report(step: int) -> None:
            if on_step is not None:
                with telling:
                    on_step(view, step)

        with reduced_precision(device, exact):
            return tokenizer.denormalize(sample(denoise, noise, sigmas, report))

    clips = side_by_side(clip, len(conditionings), device)
    return Latents(torch.cat(clips), tuple(c.trajectory for c in conditionings), tokenizer.name)
