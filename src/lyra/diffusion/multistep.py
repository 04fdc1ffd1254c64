"""Sampling with a part of the state given from outside, and with steps of higher order.

Between two noise levels the exact solution of the probability-flow ODE is, in l = -ln(sigma),

    x(l + h) = exp(-h) x(l) + integral over s from 0 to h of exp(s - h) x0(l + s) ds

where x0 is the estimate of the clean x. The estimates of the last ``order`` levels are interpolated by a polynomial,
which is integrated exactly (Lu et al. 2022, arXiv 2211.01095, multistep form). Order 1 holds x0 constant: Euler's step.
"""

import math
from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from lyra.diffusion.edm import Denoiser

Place = Callable[[Tensor, float], Tensor]
"""Puts what is known into the state before a step: (x, noise level) to x."""


@torch.no_grad()
def sample_placed(
    denoise: Denoiser,
    noise: Tensor,
    sigmas: Tensor,
    place: Place | None = None,
    order: int = 1,
    keep: torch.dtype = torch.float32,
    on_step: Callable[[int], None] | None = None,
) -> Tensor:
    """Integrate from unit ``noise`` to the last of ``sigmas``.

    Args:
        denoise: maps (x, sigma [B]) to the estimate of the clean x.
        noise: [B, ...] standard normal.
        sigmas: [steps + 1] falling noise levels, the last one usually 0.
        place: applied to the state before every step.
        order: 1 to 3; the first steps, and the one to level 0, have as much as there is behind them.
        keep: type of the state between steps (published: bfloat16); a step itself is computed in float32.
        on_step: called with the index of each finished step.

    Returns:
        [B, ...] in the type of ``keep``.

    Raises:
        ValueError: another order.
    """
    if not 1 <= order <= 3:
        raise ValueError(f"sample_placed: order {order} is not 1, 2 or 3")
    levels = [float(s) for s in sigmas]
    x = (noise.float() * (levels[0] ** 2 + 1) ** 0.5).to(keep)
    behind: list[tuple[float, Tensor]] = []
    for index, (level, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        if place is not None:
            x = place(x, level).to(keep)
        clean = denoise(x, torch.full((len(x),), level, dtype=torch.float32, device=x.device)).float()
        behind = [(level, clean), *behind][:order]
        x = _step(x.float(), behind, following).to(keep)
        if on_step is not None:
            on_step(index)
    return x


def _step(x: Tensor, behind: list[tuple[float, Tensor]], following: float) -> Tensor:
    """State at noise level ``following``; ``behind`` holds (level, estimate), the current level first."""
    level, clean = behind[0]
    if following == 0 or len(behind) == 1:
        return x + (x - clean) / level * (following - level)
    weights = step_weights([one for one, _ in behind], following)
    moved = (following / level) * x
    for weight, (_, estimate) in zip(weights, behind, strict=True):
        moved = moved + weight * estimate
    return moved


def step_weights(levels: list[float], following: float) -> list[float]:
    """Weights of the estimates at ``levels`` (current first) in the step to ``following``; their sum is 1 - exp(-h)."""
    places = [math.log(levels[0] / one) for one in levels]  # s of each estimate: 0, then negative
    length = math.log(levels[0] / following)
    moments = [-math.expm1(-length)]  # of s^0, s^1, …: integral of exp(s - h) s^m over 0…h, by parts
    for power in range(1, len(levels)):
        moments.append(length**power - power * moments[-1])
    vandermonde = np.vander(np.array(places), len(levels), increasing=True).T
    return np.linalg.solve(vandermonde, np.array(moments)).tolist()
