"""Scores against plain implementations written from their definitions."""

import numpy as np
import pytest
import torch
from scipy.ndimage import correlate

from lyra.metrics import depth_error, lpips, psnr, ssim
from lyra.structures import InputError


def pictures(count: int = 3, height: int = 24, width: int = 31) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    a = torch.rand(count, 3, height, width, generator=generator)
    noise = torch.randn(a.shape, generator=generator) * torch.linspace(0.02, 0.5, count)[:, None, None, None]
    return a, (a + noise).clamp(0, 1)


def hole(count: int, height: int, width: int) -> torch.Tensor:
    mask = torch.ones(count, height, width, dtype=torch.bool)
    mask[:, :3] = False
    mask[:, :, 20:22] = False
    return mask


def plain_ssim_map(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """SSIM of one channel in float64 at every whole window, weights and moments written out."""
    y, x = np.mgrid[-5:6, -5:6]
    window = np.exp(-(x**2 + y**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(values: np.ndarray) -> np.ndarray:
        return correlate(values, window, mode="constant")

    mean_a, mean_b = mean(a), mean(b)
    variance_a, variance_b = mean(a * a) - mean_a**2, mean(b * b) - mean_b**2
    covariance = mean(a * b) - mean_a * mean_b
    top = (2 * mean_a * mean_b + 1e-4) * (2 * covariance + 9e-4)
    bottom = (mean_a**2 + mean_b**2 + 1e-4) * (variance_a + variance_b + 9e-4)
    return (top / bottom)[5:-5, 5:-5]


def test_psnr_of_known_errors() -> None:
    a = torch.full((3, 3, 8, 8), 0.5)
    b = a + torch.tensor([0.1, 0.01, 0.0])[:, None, None, None]
    value = psnr(a, b)
    torch.testing.assert_close(value[:2], torch.tensor([20.0, 40.0]), rtol=0, atol=1e-4)
    assert value[2] == torch.inf


def test_psnr_counts_masked_pixels_only() -> None:
    a, b = pictures()
    mask = hole(3, 24, 31)
    kept = mask.numpy()
    for n, value in enumerate(psnr(a, b, mask)):
        difference = (a[n].double() - b[n].double()).numpy()[:, kept[n]]
        assert abs(float(value) - -10 * np.log10((difference**2).mean())) < 1e-4
    spoiled = torch.where(mask[:, None], b, torch.nan)
    assert torch.equal(psnr(a, spoiled, mask), psnr(a, b, mask))
    assert psnr(a, b, torch.zeros_like(mask)).isnan().all()


def test_ssim_agrees_with_the_plain_form() -> None:
    a, b = pictures()
    value = ssim(a, b)
    for n in range(3):
        expected = np.mean([plain_ssim_map(a[n, c].double().numpy(), b[n, c].double().numpy()) for c in range(3)])
        assert abs(float(value[n]) - expected) < 2e-5
    assert bool((value[:-1] > value[1:]).all())


def test_ssim_with_a_mask_agrees_with_the_plain_form() -> None:
    a, b = pictures()
    mask = hole(3, 24, 31)
    whole = np.array([[mask[0, y : y + 11, x : x + 11].all() for x in range(21)] for y in range(14)])
    assert 0 < whole.mean() < 1
    for n, value in enumerate(ssim(a, torch.where(mask[:, None], b, torch.nan), mask)):
        maps = [plain_ssim_map(a[n, c].double().numpy(), b[n, c].double().numpy()) for c in range(3)]
        assert abs(float(value) - np.mean(maps, axis=0)[whole].mean()) < 2e-5
    assert ssim(a, b, torch.zeros_like(mask)).isnan().all()


def test_ssim_laws() -> None:
    a, b = pictures()
    torch.testing.assert_close(ssim(a, a), torch.ones(3))
    torch.testing.assert_close(ssim(a, b), ssim(b, a))
    b.requires_grad_()
    ssim(a, b).sum().backward()
    assert b.grad is not None
    assert bool(b.grad.isfinite().all())
    with pytest.raises(InputError, match="below 11 pixels"):
        ssim(a[..., :10, :], a[..., :10, :])


def test_lpips_asks_the_network_and_respects_the_mask() -> None:
    a, b = pictures()
    mask = hole(3, 24, 31)

    def network(x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        return (x - y).abs().mean(dim=(1, 2, 3))

    assert torch.equal(lpips(network, a, b), network(a, b))
    expected = torch.stack([(a[n] - b[n]).abs()[:, mask[n]].mean() for n in range(3)])
    torch.testing.assert_close(lpips(network, a, torch.where(mask[:, None], b, torch.nan), mask), expected)
    assert lpips(network, a, b, torch.zeros_like(mask)).isnan().all()


def test_depth_error_against_the_definition() -> None:
    generator = torch.Generator().manual_seed(1)
    truth = torch.rand(4, 9, 11, generator=generator) * 5 + 0.5
    prediction = 3 * truth * torch.exp(0.3 * torch.randn(truth.shape, generator=generator))
    mask = torch.rand(truth.shape, generator=generator) > 0.3
    # 0 and infinity in the truth never count, whatever the mask says
    truth[0, 0, :3] = 0
    truth[1, 2, :3] = torch.inf
    result = depth_error(prediction, truth, mask)
    for n in range(4):
        keep = (mask[n] & (truth[n] > 0) & truth[n].isfinite()).numpy()
        p, g = prediction[n].double().numpy()[keep], truth[n].double().numpy()[keep]
        p = p * (np.sort(g)[(len(g) - 1) // 2] / np.sort(p)[(len(p) - 1) // 2])
        assert abs(float(result.abs_rel[n]) - np.mean(np.abs(p - g) / g)) < 1e-5
        assert abs(float(result.delta1[n]) - np.mean(np.maximum(p / g, g / p) < 1.25)) < 1e-5


def test_depth_error_laws() -> None:
    truth = torch.rand(2, 6, 7) + 0.5
    exact = depth_error(7 * truth, truth)
    torch.testing.assert_close(exact.abs_rel, torch.zeros(2), rtol=0, atol=1e-6)
    assert exact.delta1.tolist() == [1, 1]
    empty = depth_error(truth, truth, torch.zeros_like(truth))
    assert empty.abs_rel.isnan().all()
    assert empty.delta1.isnan().all()
    broken = truth.clone()
    broken[0, 0, 0] = torch.nan
    assert depth_error(broken, truth).abs_rel.isnan().tolist() == [True, False]


def test_shapes_that_do_not_agree_are_refused() -> None:
    a, b = pictures()
    for score in (psnr, ssim):
        with pytest.raises(ValueError, match="axis N"):
            score(a, b[:2])
        with pytest.raises(ValueError, match="axis W"):
            score(a, b, torch.ones(3, 24, 30))
