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
def problems() -> list[tuple[Denoiser, Denoiser, Tensor]]:
    """Three mixtures, each with its two sides and its noise."""
    found = []
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        modes = 0.45 * torch.randn(MODES, SIZE, generator=generator, dtype=torch.float64)
        noise = torch.randn(SAMPLES, SIZE, generator=generator)
        found.append((mixture(modes[:KNOWN]), mixture(modes), noise))
    return found


def solved(sampling: PublishedSampling, sides: tuple[Denoiser, Denoiser, Tensor]) -> Tensor:
    conditional, unconditional, noise = sides
    levels = sampling.levels(0.0002, 80.0)
    denoise = guided(conditional, unconditional, sampling.guidance)
    return sample_placed(denoise, noise, levels, order=sampling.order, keep=torch.float64)


def test_balanced_is_nearer_than_its_number_of_passes_suggests(
    problems: list[tuple[Denoiser, Denoiser, Tensor]],
) -> None:
    exact = [solved(PublishedSampling(150, order=2), sides) for sides in problems]

    def error(sampling: PublishedSampling) -> float:
        """Root mean square distance to the exact solution, over the spread of the data."""
        pairs = ((solved(sampling, sides), truth) for sides, truth in zip(problems, exact, strict=True))
        return sum(float((found - truth).square().mean().sqrt() / truth.std()) for found, truth in pairs) / len(exact)

    published, balanced = PublishedSampling(), quality_of("balanced").sampling
    assert balanced.passes(0.0002, 80.0) == 16 and published.passes(0.0002, 80.0) == 70
    far = error(balanced)
    assert far < 0.15 and far < 1.8 * error(published), "with 70 passes"
    assert far < 0.6 * error(PublishedSampling(8)), "16 passes as published"
    wasteful = PublishedSampling(balanced.steps, balanced.guidance, balanced.order)
    assert far < 0.7 * error(wasteful), "steps below the noise level 0.01 are wasted"
    unguided = PublishedSampling(16, Guidance(0.0), order=2, smallest=0.01)
    assert far < 0.6 * error(unguided), "as many passes without guidance"
