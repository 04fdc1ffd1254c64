"""The sampler against closed forms: published noise levels, and the exact posterior mean of a Gaussian."""

import pytest
import torch

from lyra.diffusion import guide, karras_sigmas, precondition, sample


def test_published_noise_levels():
    sigmas = karras_sigmas(35, 0.0002, 80.0)
    assert len(sigmas) == 36 and sigmas[-1] == 0
    # gen3c: 80, 67.126, 56.070, … 0.00055, 0.0002, 0
    assert torch.allclose(sigmas[:3], torch.tensor([80.0, 67.126, 56.070], dtype=torch.float64), atol=1e-3)
    assert abs(float(sigmas[33]) - 0.00055) < 5e-6 and abs(float(sigmas[34]) - 0.0002) < 1e-12


def test_preconditioning_gives_unit_variance_and_exact_limits():
    sigma = torch.tensor([1e-4, 0.5, 3.0, 80.0], dtype=torch.float64)
    factors = precondition(sigma, 0.5)
    assert torch.allclose(factors.input**2 * (0.25 + sigma**2), torch.ones(4, dtype=torch.float64))
    assert torch.allclose(factors.out**2, sigma**2 * 0.25 / (0.25 + sigma**2))
    assert abs(float(factors.skip[0]) - 1) < 1e-6 and abs(float(factors.noise[2]) - float(sigma[2].log() / 4)) < 1e-12


def test_sampler_recovers_a_gaussian():
    """With the exact denoiser of N(m, s²) the flow maps unit noise to that distribution."""
    mean, deviation = 1.5, 0.7
    noise = torch.randn(20_000, 1, generator=torch.Generator().manual_seed(3))

    def denoise(x, sigma):
        level = sigma[:, None]
        return (deviation**2 * x + level**2 * mean) / (deviation**2 + level**2)

    out = sample(denoise, noise, karras_sigmas(300, 0.002, 80.0))
    assert abs(float(out.mean()) - mean) < 0.02
    assert abs(float(out.std()) - deviation) < 0.02


def test_one_step_returns_the_denoiser_and_steps_are_counted():
    seen = []
    out = sample(lambda x, s: torch.full_like(x, 2.0), torch.randn(1, 3), karras_sigmas(1, 0.02, 80.0), seen.append)
    assert torch.allclose(out, torch.full((1, 3), 2.0), atol=1e-5) and seen == [0]
    with pytest.raises(ValueError, match="at least 1 step"):
        karras_sigmas(0, 0.02, 80.0)


def test_guidance_goes_from_the_unwanted_to_the_wanted_and_beyond():
    calls = []

    def constant(value: float):
        def denoise(x, sigma):
            calls.append(value)
            return torch.full_like(x, value)

        return denoise

    x, sigma = torch.zeros(1, 2), torch.ones(1)
    for scale, expected in ((0.0, 2.0), (0.5, 3.5), (1.0, 5.0), (3.0, 11.0)):
        assert torch.equal(guide(constant(5.0), constant(2.0), scale)(x, sigma), torch.full((1, 2), expected))
    calls.clear()
    guide(constant(5.0), constant(2.0), 1.0)(x, sigma)
    assert calls == [5.0], "guidance 1 costs one evaluation"
