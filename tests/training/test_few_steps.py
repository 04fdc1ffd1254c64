"""Few-step objectives against denoisers whose answer is known in closed form."""

import torch
from torch import Tensor

from lyra.diffusion import karras_sigmas, sample
from lyra.training.few_steps import consistency_pair, euler_step, own_state, progressive_target

SPREAD = 0.7


def gaussian_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact posterior mean where the data are normal with mean 1 and standard deviation ``SPREAD``."""
    s = sigma.reshape(-1, *(1,) * (x.dim() - 1))
    return 1 + (x - 1) * SPREAD**2 / (SPREAD**2 + s**2)


def point_denoiser(x: Tensor, sigma: Tensor) -> Tensor:
    """All data are the number 3."""
    return torch.full_like(x, 3.0)


def noise(seed: int = 0) -> Tensor:
    return torch.randn(4, 2, 3, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def levels(*values: float) -> list[Tensor]:
    return [torch.full((4,), value, dtype=torch.float64) for value in values]


def test_own_states_lie_on_the_samplers_road() -> None:
    sigmas = karras_sigmas(4, 0.02, 80.0)
    expected = sample(gaussian_denoiser, noise(), sigmas)
    for step in range(4):
        x = own_state(gaussian_denoiser, noise(), sigmas, step)
        for level, following in zip(sigmas[step:-1], sigmas[step + 1 :], strict=True):
            sigma, end = levels(float(level), float(following))
            x = euler_step(x, gaussian_denoiser(x, sigma), sigma, end)
        torch.testing.assert_close(x, expected, rtol=1e-5, atol=1e-5)


def test_a_step_of_an_exact_denoiser_keeps_the_noise() -> None:
    sigma, following = levels(5.0, 2.0)
    x = 3 + 5 * noise()
    torch.testing.assert_close(euler_step(x, point_denoiser(x, sigma), sigma, following), 3 + 2 * noise())


def test_a_consistency_pair_lies_on_one_path() -> None:
    sigma, following = levels(4.0, 3.9)
    clean = 1 + SPREAD * noise(1)
    x, y = consistency_pair(gaussian_denoiser, clean, noise(2), sigma, following)
    torch.testing.assert_close(x, clean + 4 * noise(2))
    # The exact path of the flow for normal data: deviations shrink like sqrt(SPREAD² + sigma²).
    shrink = ((SPREAD**2 + 3.9**2) / (SPREAD**2 + 4.0**2)) ** 0.5
    torch.testing.assert_close(y - 1, (x - 1) * shrink, rtol=2e-4, atol=1e-6)


def test_one_step_towards_the_progressive_target_lands_where_two_steps_do() -> None:
    sigma, middle, end = levels(8.0, 3.0, 0.5)
    x = 1 + 8 * noise(3)
    two = euler_step(x, gaussian_denoiser(x, sigma), sigma, middle)
    two = euler_step(two, gaussian_denoiser(two, middle), middle, end)
    target = progressive_target(gaussian_denoiser, x, sigma, middle, end)
    torch.testing.assert_close(euler_step(x, target, sigma, end), two)


def test_the_progressive_target_of_the_last_step_is_what_two_steps_arrive_at() -> None:
    sigma, middle, end = levels(8.0, 3.0, 0.0)
    x = 1 + 8 * noise(4)
    two = euler_step(x, gaussian_denoiser(x, sigma), sigma, middle)
    torch.testing.assert_close(
        progressive_target(gaussian_denoiser, x, sigma, middle, end), gaussian_denoiser(two, middle)
    )
