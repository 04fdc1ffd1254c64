"""EDM (Karras et al. 2022, arXiv 2206.00364): noise levels, preconditioning, deterministic Euler sampling.

Written here because the library's scheduler ends at the smallest noise level, not at zero, as the published
sampler does, and counts its levels differently.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

Denoiser = Callable[[Tensor, Tensor], Tensor]


class Preconditioning(NamedTuple):
    """The four factors of EDM table 1, each with the shape of the noise levels they were made from."""

    skip: Tensor
    out: Tensor
    input: Tensor
    noise: Tensor


def precondition(sigma: Tensor, sigma_data: float) -> Preconditioning:
    """c_skip, c_out, c_in and c_noise = ln(sigma)/4 for noise levels ``sigma`` of any shape (> 0)."""
    variance = sigma**2 + sigma_data**2
    root = variance.sqrt()
    return Preconditioning(sigma_data**2 / variance, sigma * sigma_data / root, 1 / root, sigma.log() / 4)


def karras_sigmas(steps: int, sigma_min: float, sigma_max: float, rho: float = 7.0) -> Tensor:
    """``steps`` falling noise levels (EDM equation 5) followed by zero: [steps + 1] float64.

    Raises:
        ValueError: fewer than one step.
    """
    if steps < 1:
        raise ValueError(f"sampling needs at least 1 step, got {steps}")
    ramp = torch.linspace(0, 1, steps, dtype=torch.float64)
    low, high = sigma_min ** (1 / rho), sigma_max ** (1 / rho)
    return torch.cat([(high + ramp * (low - high)) ** rho, torch.zeros(1, dtype=torch.float64)])


def nested_sigmas(steps: int, finest: int, sigma_min: float, sigma_max: float) -> Tensor:
    """The levels of a schedule of ``finest`` steps that are left when ``steps`` remain: [steps + 1] float64.

    Raises:
        ValueError: fewer than one step, or ``finest`` is no multiple of ``steps``.
    """
    if steps < 1 or finest % steps:
        raise ValueError(f"{steps} steps are no part of a schedule of {finest}")
    return karras_sigmas(finest, sigma_min, sigma_max)[:: finest // steps]


def guide(wanted: Denoiser, unwanted: Denoiser, scale: float) -> Denoiser:
    """Classifier-free guidance (Ho and Salimans 2022, arXiv 2207.12598) on estimates of the clean x.

    The guided estimate is ``unwanted + scale (wanted - unwanted)``: 1 is ``wanted`` alone, with one evaluation per
    step, 0 is ``unwanted`` alone, more than 1 goes beyond ``wanted``.
    """
    if scale == 1:
        return wanted

    def guided(x: Tensor, sigma: Tensor) -> Tensor:
        away = unwanted(x, sigma)
        return away + scale * (wanted(x, sigma) - away)

    return guided


@torch.no_grad()
def sample(denoise: Denoiser, noise: Tensor, sigmas: Tensor, on_step: Callable[[int], None] | None = None) -> Tensor:
    """Integrate the probability-flow ODE with Euler steps from unit ``noise`` to the last of ``sigmas``.

    Args:
        denoise: maps (x, sigma [B]) to the estimate of the clean x.
        noise: [B, ...] standard normal.
        sigmas: [steps + 1] falling noise levels, the last one usually 0.
        on_step: called with the index of each finished step.

    Returns:
        [B, ...] in the type of ``noise``; the states between are kept in float32.
    """
    levels = [float(s) for s in sigmas]
    x = noise.float() * (levels[0] ** 2 + 1) ** 0.5
    for index, (level, following) in enumerate(zip(levels[:-1], levels[1:], strict=True)):
        clean = denoise(x, x.new_full((x.shape[0],), level)).float()
        x = x + (x - clean) / level * (following - level)
        if on_step is not None:
            on_step(index)
    return x.to(noise.dtype)
