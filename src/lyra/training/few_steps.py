"""Teaching the teacher to need few steps: three objectives that are measured against each other.

- ``own_state``: learn at the states that the few-step sampler really visits (backward simulation, Yin et al., "Improved
  Distribution Matching Distillation", NeurIPS 2024), so that later steps repair what the earlier ones did.
- ``consistency_pair``: one step of a frozen many-step teacher links neighbouring noise levels, whose estimates must
  agree (Song et al., "Consistency Models", ICML 2023, equation 7).
- ``progressive_target``: the estimate from which one step lands where two steps of the frozen teacher do (Salimans and
  Ho, "Progressive Distillation", ICLR 2022).

States are x = clean + sigma * noise of shape [B, ...]; denoisers map (x, sigma [B]) to an estimate of clean.
"""

import torch
from torch import Tensor

from lyra.diffusion import Denoiser, sample


@torch.no_grad()
def own_state(denoise: Denoiser, noise: Tensor, sigmas: Tensor, step: int) -> Tensor:
    """The sampler's state before step ``step`` of ``sigmas`` [steps + 1], reached by its own earlier steps.

    Args:
        denoise: the network that learns.
        noise: [B, ...] standard normal.
        sigmas: falling noise levels of the few-step sampler, 0 at the end.
        step: 0 … steps - 1.
    """
    if step == 0:
        return noise * (float(sigmas[0]) ** 2 + 1) ** 0.5
    return sample(denoise, noise, sigmas[: step + 1])


def euler_step(x: Tensor, clean: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """The state at noise level ``following`` [B] on the line from ``x`` at ``sigma`` [B] > 0 towards ``clean``."""
    share = _wide(following / sigma, x)
    return clean + (x - clean) * share


@torch.no_grad()
def consistency_pair(
    teacher: Denoiser, clean: Tensor, noise: Tensor, sigma: Tensor, following: Tensor
) -> tuple[Tensor, Tensor]:
    """Two states on one path of the frozen teacher.

    Args:
        teacher: frozen many-step denoiser.
        clean, noise: [B, ...].
        sigma, following: [B] noise levels, ``following`` < ``sigma``.

    Returns:
        The state at ``sigma`` and the teacher's at ``following``; a consistent network estimates the same clean
        tensor from both.
    """
    x = clean + _wide(sigma, clean) * noise
    return x, euler_step(x, teacher(x, sigma), sigma, following)


@torch.no_grad()
def progressive_target(teacher: Denoiser, x: Tensor, sigma: Tensor, middle: Tensor, end: Tensor) -> Tensor:
    """The clean estimate that takes ``x`` in one step from ``sigma`` to where the teacher's two steps end.

    Args:
        teacher: frozen denoiser that needs twice the steps.
        x: [B, ...] state at ``sigma``.
        sigma, middle, end: [B] falling noise levels; ``end`` may be 0.
    """
    between = euler_step(x, teacher(x, sigma), sigma, middle)
    landed = euler_step(between, teacher(between, middle), middle, end)
    share = _wide(end / sigma, x)
    return (landed - share * x) / (1 - share)


def _wide(values: Tensor, like: Tensor) -> Tensor:
    return values.to(like.dtype).reshape(-1, *(1,) * (like.dim() - 1))
