"""What the teacher makes of a batch of warped caches, all at once: material to train on, and to score on."""

import torch
from torch import Tensor

from lyra.diffusion import sample
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import Tokenizer
from lyra.stages.imagine import teacher_inputs


@torch.no_grad()
def imagine_latents(
    teacher: Teacher, tokenizer: Tokenizer, source: Tensor, warped: Tensor, mask: Tensor, steps: int | None = None
) -> Tensor:
    """Raw latents [B, C, t, h, w] of B clips, imagined together.

    Args:
        teacher, tokenizer: networks.
        source: [B, 3, H, W] first frames 0…1.
        warped: [B, T, 3, H, W] the 3D cache from their cameras, holes filled and edges drawn.
        mask: [B, T, H, W] bool, what of it is visible.
        steps: denoising steps, ``None`` for the teacher's own number.
    """
    inputs = teacher_inputs(tokenizer, source, warped, mask)
    sigmas = teacher.config.levels(steps)
    noise = torch.randn(inputs.warped[:, 0].shape, device=source.device)
    return tokenizer.denormalize(sample(lambda x, sigma: teacher(x, sigma, inputs), noise, sigmas))
