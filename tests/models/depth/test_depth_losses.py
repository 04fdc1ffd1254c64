"""Laws of the depth loss."""

import math

import pytest
import torch
from torch import Tensor

from lyra.models.depth import DepthLossConfig, DepthPrediction, depth_loss
from lyra.models.depth.losses import gradient_difference, log_residual


@pytest.fixture
def truth() -> tuple[Tensor, Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    depth = torch.rand(2, 24, 32, generator=generator) * 5 + 0.5
    sky = torch.zeros(2, 24, 32, dtype=torch.bool)
    sky[0, :8] = True
    depth[sky] = 30.0
    return depth, sky, torch.tensor([0.8, 1.5])


def perfect(depth: Tensor, sky: Tensor, focal: Tensor) -> DepthPrediction:
    return DepthPrediction(depth.log(), torch.where(sky, 40.0, -40.0), focal.log())


def test_zero_at_the_truth(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    terms = depth_loss(perfect(*truth), *truth)
    assert set(terms) == {"scale_invariant", "gradient", "sky", "focal", "total"}
    assert all(abs(float(value)) < 1e-6 for value in terms.values())


def test_one_factor_per_picture_changes_nothing(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    depth, sky, focal = truth
    noise = torch.randn(depth.shape, generator=torch.Generator().manual_seed(1))
    prediction = DepthPrediction(depth.log() + 0.3 * noise, noise, focal)
    shifted = DepthPrediction(prediction.log_depth + torch.tensor([2.0, -3.0])[:, None, None], noise, focal)
    before, after = depth_loss(prediction, *truth), depth_loss(shifted, *truth)
    rescaled = depth_loss(prediction, depth * torch.tensor([7.0, 0.1])[:, None, None], sky, focal)
    for name, value in before.items():
        torch.testing.assert_close(after[name], value, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(rescaled[name], value, rtol=1e-5, atol=1e-6)
    assert before["scale_invariant"] > 0.1


def test_gradient_points_away_from_the_truth(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    depth, sky, focal = truth
    log_depth = depth.log()
    log_depth[1, 5, 5] += 0.5
    log_depth[1, 9, 9] -= 0.5
    log_depth.requires_grad_()
    logit = torch.zeros_like(log_depth, requires_grad=True)
    log_focal = (focal.log() + torch.tensor([0.2, -0.2])).requires_grad_()
    depth_loss(DepthPrediction(log_depth, logit, log_focal), *truth)["total"].backward()
    assert log_depth.grad is not None and logit.grad is not None and log_focal.grad is not None
    assert log_depth.grad[1, 5, 5] > 0 > log_depth.grad[1, 9, 9]
    assert (logit.grad[sky] < 0).all() and (logit.grad[~sky] > 0).all()
    assert log_focal.grad[0] > 0 > log_focal.grad[1]
    assert (log_depth.grad[sky] == 0).all()


def test_gradient_does_not_move_the_scale(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    depth, sky, focal = truth
    noise = torch.randn(depth.shape, generator=torch.Generator().manual_seed(2))
    log_depth = (depth.log() + noise).requires_grad_()
    depth_loss(DepthPrediction(log_depth, noise, focal), *truth)["total"].backward()
    assert log_depth.grad is not None
    assert (log_depth.grad.sum(dim=(1, 2)).abs() < 0.02 * log_depth.grad.abs().sum(dim=(1, 2))).all()


def test_scale_invariant_term_is_the_distance_to_the_median() -> None:
    errors = torch.tensor([[[-0.4, 0.0, 0.1, 0.2, 0.9]]])
    prediction = DepthPrediction(errors + 1.7, torch.zeros(1, 1, 5), torch.zeros(1))
    config = DepthLossConfig(softness=1e-6)
    terms = depth_loss(prediction, torch.ones(1, 1, 5), torch.zeros(1, 1, 5).bool(), torch.ones(1), config)
    torch.testing.assert_close(terms["scale_invariant"], (errors - 0.1).abs().mean())
    torch.testing.assert_close(terms["sky"], torch.tensor(math.log(2)))


def test_gradient_term_of_a_ramp_doubles_with_each_scale() -> None:
    ramp = (0.01 * torch.arange(64.0)).expand(1, 64, 64)
    mask = torch.ones_like(ramp, dtype=torch.bool)
    for scales in (1, 2, 4):
        expected = sum(0.01 * 2**scale for scale in range(scales)) / (2 * scales)
        assert float(gradient_difference(ramp, mask, scales, 1e-7)) == pytest.approx(expected, rel=1e-3)


def test_gradient_term_skips_steps_across_the_mask() -> None:
    step = torch.zeros(1, 16, 16)
    step[..., 8:] = 5.0
    mask = torch.ones_like(step, dtype=torch.bool)
    assert gradient_difference(step, mask, 1, 0.01) > 0.1
    mask[..., 8] = False
    assert float(gradient_difference(step, mask, 1, 0.01)) == 0


def test_unusable_truth_is_left_out(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    depth, sky, focal = truth
    log_depth = (depth.log() + 0.2 * torch.randn(depth.shape)).requires_grad_()
    torn = depth.clone()
    torn[1, 0], torn[1, 1], torn[1, 2] = torch.nan, torch.inf, 0.0
    wrong = log_depth.detach().clone()
    wrong[1, :3] = 50.0
    terms = depth_loss(DepthPrediction(log_depth, torch.zeros_like(depth), focal.log()), torn, sky, focal)
    others = depth_loss(DepthPrediction(wrong, torch.zeros_like(depth), focal.log()), torn, sky, focal)
    torch.testing.assert_close(terms["total"], others["total"])
    terms["total"].backward()
    assert log_depth.grad is not None and log_depth.grad.isfinite().all()


def test_a_picture_of_nothing_but_sky_has_no_depth_term() -> None:
    log_depth = torch.randn(1, 16, 16, requires_grad=True)
    sky = torch.ones(1, 16, 16, dtype=torch.bool)
    prediction = DepthPrediction(log_depth, torch.zeros(1, 16, 16), torch.zeros(1))
    terms = depth_loss(prediction, torch.full((1, 16, 16), 30.0), sky, torch.tensor([torch.nan]))
    assert all(terms[name].item() == 0 for name in ("scale_invariant", "gradient", "focal"))
    terms["total"].backward()
    assert log_depth.grad is not None and (log_depth.grad == 0).all()


def test_each_picture_counts_the_same() -> None:
    depth = torch.ones(2, 16, 16)
    sky = torch.zeros(2, 16, 16, dtype=torch.bool)
    sky[1, 1:] = True
    log_depth = torch.zeros(2, 16, 16)
    log_depth[1, 0, ::4] = 4.0
    prediction = DepthPrediction(log_depth, torch.zeros(2, 16, 16), torch.zeros(2))
    terms = depth_loss(prediction, depth, sky, torch.ones(2), DepthLossConfig(softness=1e-6))
    assert float(terms["scale_invariant"]) == pytest.approx(0.5, rel=1e-4)


def test_half_precision_predictions_give_float32_losses(truth: tuple[Tensor, Tensor, Tensor]) -> None:
    depth, sky, focal = truth
    prediction = DepthPrediction(depth.log().bfloat16(), torch.zeros(depth.shape).bfloat16(), focal.log().bfloat16())
    with torch.autocast("cpu", dtype=torch.bfloat16):
        terms = depth_loss(prediction, depth, sky, focal)
    assert terms["total"].dtype == torch.float32
    assert float(terms["scale_invariant"]) < 5e-3


def test_residual_is_zero_outside_the_mask() -> None:
    mask = torch.zeros(1, 4, 4, dtype=torch.bool)
    mask[0, 0] = True
    residual = log_residual(torch.randn(1, 4, 4), torch.ones(1, 4, 4), mask)
    assert (residual[~mask] == 0).all() and (residual[0, 0] == 0).sum() == 1
