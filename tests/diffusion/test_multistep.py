"""Steps of higher order and a given part of the state."""

import math

import numpy as np
import pytest
import torch

from lyra.diffusion import karras_sigmas, sample, sample_placed
from lyra.diffusion.multistep import step_weights

NOISE = torch.randn(1, 3, generator=torch.Generator().manual_seed(0)).double()


def clean_at(level: float, degree: int) -> np.ndarray:
    """An estimate that is a polynomial in ln(sigma)."""
    l = -math.log(level)
    return np.array([1.0, 0.3 * l * (degree > 0), 0.1 * l**2 * (degree > 1)])


def run(steps: int, degree: int, order: int) -> np.ndarray:
    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(clean_at(float(sigma[0]), degree)).to(x)[None]

    levels = karras_sigmas(steps, 0.01, 20.0)[:-1]
    return sample_placed(denoise, NOISE, levels, order=order, keep=torch.float64)[0].numpy()


def exact(degree: int) -> np.ndarray:
    """x(l1) = exp(l0 - l1) x(l0) + integral of exp(l - l1) x0(l), by Simpson's rule on a fine grid."""
    l0, l1, count = -math.log(20.0), -math.log(0.01), 20000
    l = np.linspace(l0, l1, count + 1)
    rule = np.ones(count + 1)
    rule[1:-1:2], rule[2:-1:2] = 4, 2
    values = np.array([math.exp(one - l1) * clean_at(math.exp(-one), degree) for one in l])
    integral = (rule[:, None] * values).sum(0) * (l1 - l0) / count / 3
    return math.exp(l0 - l1) * NOISE[0].numpy() * math.sqrt(401) + integral


@pytest.mark.parametrize("order", [1, 2, 3])
def test_an_order_integrates_its_polynomials_exactly_but_for_the_first_steps(order: int) -> None:
    truth = exact(order - 1)
    errors = [np.abs(run(24, order - 1, one) - truth).max() for one in range(1, order + 1)]
    assert errors[-1] < 2e-4, errors
    assert all(low > 5 * high for low, high in zip(errors, errors[1:], strict=False)), errors


def test_order_one_is_eulers_step() -> None:
    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        return x / (1 + sigma[:, None] ** 2)

    levels = karras_sigmas(7, 0.02, 80.0)
    torch.testing.assert_close(sample_placed(denoise, NOISE.float(), levels), sample(denoise, NOISE.float(), levels))


def test_weights_of_a_step_sum_to_what_the_state_loses() -> None:
    for levels in ([2.0], [2.0, 3.1], [2.0, 3.1, 4.5]):
        assert sum(step_weights(levels, 1.5)) == pytest.approx(1 - 1.5 / 2)


def test_the_given_part_stands_in_the_state_of_every_step_and_the_state_keeps_its_type() -> None:
    seen = []

    def place(x: torch.Tensor, level: float) -> torch.Tensor:
        return torch.cat([torch.full_like(x[:, :1], level), x[:, 1:]], dim=1)

    def denoise(x: torch.Tensor, sigma: torch.Tensor) -> torch.Tensor:
        seen.append((x.dtype, x[0, 0].item(), sigma.item()))
        return x * 0

    result = sample_placed(denoise, NOISE, karras_sigmas(3, 0.5, 8.0), place, keep=torch.bfloat16)
    assert [kind for kind, _, _ in seen] == [torch.bfloat16] * 3 and result.dtype == torch.bfloat16
    assert all(first == pytest.approx(level, rel=0.01) for _, first, level in seen)
    with pytest.raises(ValueError, match="order 4"):
        sample_placed(denoise, NOISE, karras_sigmas(3, 0.5, 8.0), order=4)
