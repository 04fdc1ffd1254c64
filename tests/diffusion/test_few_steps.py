"""How far few steps are from the exact solution, for a denoiser that is known exactly: a mixture of Gaussians.

The conditional side knows 6 of the 24 modes, so the guidance has much to say. The law that is checked carries over to
any smooth denoiser; how good the pictures of a network are does not follow from it.
"""

import pytest
import torch
from torch import Tensor

from lyra.diffusion import Denoiser, Guidance, guided, sample_placed
from lyra.published import quality_of
from lyra.stages import PublishedSampling

SIZE, MODES, KNOWN, SAMPLES = 64, 24, 6, 128


def mixture(modes: Tensor) -> Denoiser:
    spread = 0.3 * torch.linspace(1, 0.02, SIZE, dtype=torch.float64)

    def clean(x: Tensor, sigma: Tensor) -> Tensor:
        x, variance = x.double(), spread**2 + sigma.double()[:, None] ** 2
        away = x[:, None] - modes
        share = torch.softmax(-0.5 * (away**2 / variance[:, None]).sum(-1), dim=1)
        return (share[..., None] * (modes + (spread**2 / variance)[:, None] * away)).sum(1)

    return clean


@pytest.fixture(scope="module")
def sides() -> tuple[Denoiser, Denoiser, Tensor]:
    generator = torch.Generator().manual_seed(0)
    modes = 0.45 * torch.randn(MODES, SIZE, generator=generator, dtype=torch.float64)
    return mixture(modes[:KNOWN]), mixture(modes), torch.randn(SAMPLES, SIZE, generator=generator)


def error(sampling: PublishedSampling, sides: tuple[Denoiser, Denoiser, Tensor], exact: Tensor) -> float:
    return float((solved(sampling, sides) - exact).square().mean().sqrt() / exact.std())


def solved(sampling: PublishedSampling, sides: tuple[Denoiser, Denoiser, Tensor]) -> Tensor:
    conditional, unconditional, noise = sides
    levels = sampling.levels(0.0002, 80.0)
    denoise = guided(conditional, unconditional, sampling.guidance)
    return sample_placed(denoise, noise, levels, order=sampling.order, keep=torch.float64)


def test_balanced_is_nearer_than_its_number_of_passes_suggests(sides: tuple[Denoiser, Denoiser, Tensor]) -> None:
    exact = solved(PublishedSampling(200, order=2), sides)
    published, balanced = PublishedSampling(), quality_of("balanced").sampling
    assert balanced.passes(0.0002, 80.0) == 16 and published.passes(0.0002, 80.0) == 70
    far = error(balanced, sides, exact)
    assert far < 0.08 and far < error(published, sides, exact), "of the spread of the data; 16 passes against 70"
    assert far < 0.4 * error(PublishedSampling(8), sides, exact), "16 passes as published"
    wasteful = PublishedSampling(balanced.steps, balanced.guidance, balanced.order)
    assert far < 0.5 * error(wasteful, sides, exact), "steps below the noise level 0.01 are wasted"
    unguided = PublishedSampling(16, Guidance(0.0), order=2, smallest=0.01)
    assert far < 0.4 * error(unguided, sides, exact), "as many passes without guidance"
