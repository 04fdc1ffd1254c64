"""What a network that is to need few steps learns from one that needs many: levels, targets and their loss.

Noise levels are those of one fine schedule; a schedule of fewer steps is every n-th of them. All steps are Euler steps
of the probability-flow ODE (Karras et al. 2022, arXiv 2206.00364): from level s to the next one e, an estimate c of the
clean x leads to ``x + (x - c) / s * (e - s)``.
"""

import torch
from torch import Tensor

from lyra.diffusion import Denoiser

HIGHEST = 4
"""One of so many levels counts as high: the first quarter of the schedule."""
HUBER = 0.03
"""Errors below this, in the unit in which all noise levels weigh alike, are squared; larger ones count as they are."""


def draw_high(count: int, levels: int, device: torch.device) -> Tensor:
    """[count] int64 positions among ``levels`` falling noise levels; half of them fall in the highest quarter."""
    border = max(levels // HIGHEST, 1)
    high = torch.rand(count, device=device) < 0.5
    first = torch.randint(border, (count,), device=device)
    return torch.where(high, first, torch.randint(border, max(levels, border + 1), (count,), device=device))


def wide(levels: Tensor, like: Tensor) -> Tensor:
    """[B] noise levels as [B, 1, ...], with as many axes as ``like`` has."""
    return levels.reshape(-1, *([1] * (like.ndim - 1)))


def euler_step(x: Tensor, clean: Tensor, sigma: Tensor, following: Tensor) -> Tensor:
    """Where an Euler step from ``sigma`` to ``following`` lands.

    Args:
        x: [B, ...] at level ``sigma``.
        clean: [B, ...] estimate of the clean x.
        sigma: [B] noise levels, > 0.
        following: [B] lower ones, >= 0.
    """
    return clean + wide(following / sigma, x) * (x - clean)


def consistency_target(
    frozen: Denoiser, student: Denoiser, x: Tensor, sigma: Tensor, following: Tensor, lowest: Tensor
) -> Tensor:
    """What the student should estimate at (x, sigma): consistency distillation (Song et al. 2023, arXiv 2303.01469).

    It is what the student itself says one step of the frozen network nearer to the data. From the lowest level that
    step ends at the data, so there it is the estimate of the frozen network.

    Args:
        frozen: the network that takes the step. What it returns must outlast a call of ``student``.
        student: the network that learns, without gradient.
        x: [B, ...] at level ``sigma``.
        sigma: [B] noise levels, > 0.
        following: [B] the levels after them, of which 0 is the last.
        lowest: [] the smallest level above 0, at which ``student`` is asked where its answer is not needed.

    Returns:
        [B, ...] clean x.
    """
    estimate = frozen(x, sigma)
    ends = following == 0
    nearer = euler_step(x, estimate, sigma, following)
    own = student(nearer, torch.where(ends, lowest, following))
    return torch.where(wide(ends, x), estimate, own)


def progressive_target(reference: Denoiser, x: Tensor, sigma: Tensor, between: Tensor, following: Tensor) -> Tensor:
    """What the student should estimate at (x, sigma) for its one step to land where two of the reference do.

    That is progressive distillation (Salimans and Ho 2022, arXiv 2202.00512).

    With the reference's estimates c1 at ``sigma`` s and c2 at ``between`` m, two steps to ``following`` e land at
    ``e/s x + e/m (1 - m/s) c1 + (1 - e/m) c2``, one step with the estimate c at ``e/s x + (1 - e/s) c``. Hence
    c = w c1 + (1 - w) c2 with ``w = e (s - m) / (m (s - e))`` between 0 and 1: x has dropped out, and with it the
    difference of large numbers; at e = 0 only c2 is left.

    Args:
        reference: the network that takes two steps. What it returns may be overwritten by its next call.
        x: [B, ...] at level ``sigma``.
        sigma, between, following: [B] falling noise levels, of which only the last may be 0.

    Returns:
        [B, ...] clean x.
    """
    share = wide(following * (sigma - between) / (between * (sigma - following)), x)
    first = reference(x, sigma)
    middle, part = euler_step(x, first, sigma, between), share * first
    return part + (1 - share) * reference(middle, between)


def pseudo_huber(squares: Tensor, scale: float = HUBER) -> Tensor:
    """Loss of mean squared errors of any shape: quadratic below ``scale``, linear in the error above it.

    Proposed for consistency training by Song and Dhariwal (2023, arXiv 2310.14189).
    """
    return (squares + scale**2).sqrt() - scale
