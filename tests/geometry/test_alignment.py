import math

import numpy as np
import pytest
import torch

from lyra.geometry import align_inverse_depth_affine, align_log_depth, align_non_rigid, intrinsics_from_fov


def scene(batch: int = 2, height: int = 24, width: int = 40):
    generator = torch.Generator().manual_seed(0)
    coarse = torch.rand(batch, 1, 4, 5, generator=generator)
    depth = 1 + torch.nn.functional.interpolate(coarse, size=(height, width), mode="bilinear")[:, 0]
    mask = torch.ones(batch, height, width, dtype=torch.bool)
    mask[:, :, width // 2 :] = False
    return depth, mask


def test_a_global_factor_is_found_and_carried_into_the_holes():
    depth, mask = scene()
    factor = torch.tensor([3.0, 0.2])[:, None, None]
    reference = torch.where(mask, depth * factor, 0.0)
    aligned = align_log_depth(depth.log(), reference, mask)
    assert torch.allclose(aligned, depth * factor, rtol=1e-4)
    assert torch.equal(aligned[mask], reference[mask])


def test_an_outlier_of_the_reference_moves_the_holes_by_no_more_than_e():
    depth, mask = scene(1)
    reference = depth.clone()
    reference[0, :, 19] = 1e6
    aligned = align_log_depth(depth.log(), reference, mask)
    ratio = (aligned / depth)[~mask]
    assert ratio.max() <= math.e * 1.001
    assert ratio.min() >= 0.999
    assert ratio.max() > 1.2  # it does move them: the clamp is what holds


def test_an_item_without_reference_keeps_its_depth():
    depth, mask = scene()
    mask[1] = False
    aligned = align_log_depth(depth.log(), torch.where(mask, 2 * depth, 0.0), mask)
    assert torch.allclose(aligned[1], depth[1], rtol=1e-5)
    assert torch.allclose(aligned[0], 2 * depth[0], rtol=1e-4)


def test_affine_inverse_depth_is_the_least_squares_fit_between_the_quantiles():
    depth, mask = scene()
    generator = torch.Generator().manual_seed(1)
    reference = 1 / (0.6 / depth + 0.2) * (1 + 0.1 * torch.rand(depth.shape, generator=generator))
    reference[:, 0, 0] = 500  # beyond the quantile, must not count
    aligned = align_inverse_depth_affine(depth, reference, mask)
    for b in range(2):
        d, r = (t[b][mask[b]].double().numpy() for t in (depth, reference))
        keep = np.ones(len(d), dtype=bool)
        for values, whole in ((1 / d, 1 / depth[b].double().numpy()), (1 / r, 1 / r)):
            low, high = np.quantile(whole, [0.1, 0.9])
            keep &= (values > low) & (values < high)
        design = np.stack([1 / d[keep], np.ones(keep.sum())], axis=1)
        (a, b0), *_ = np.linalg.lstsq(design, 1 / r[keep], rcond=None)
        np.testing.assert_allclose(aligned[b].numpy(), 1 / (a / depth[b].double().numpy() + b0), rtol=1e-5)


def test_affine_falls_back_to_a_factor_for_a_flat_wall_and_to_nothing_without_pixels():
    depth = torch.full((2, 4, 5), 2.0)
    mask = torch.ones(2, 4, 5, dtype=torch.bool)
    mask[1] = False
    aligned = align_inverse_depth_affine(depth, torch.full_like(depth, 3.0), mask)
    assert torch.allclose(aligned[0], torch.full((4, 5), 3.0))
    assert torch.equal(aligned[1], depth[1])


def published_non_rigid(depth, reference, mask, K, rotation, steps):
    """The optimisation as described, for one item, with explicit points and convolution."""
    height, width = depth.shape
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    rays = torch.stack([columns, rows, torch.ones_like(rows)], dim=-1) @ torch.linalg.inv(K).T @ rotation.T
    factor = torch.ones_like(depth, requires_grad=True)
    optimiser = torch.optim.Adam([factor], lr=1e-3)
    box = torch.full((1, 1, 3, 3), 1 / 9)
    for _ in range(steps):
        optimiser.zero_grad()
        moved, target = (factor * depth)[..., None] * rays, reference[..., None] * rays
        smooth = torch.nn.functional.conv2d(factor[None, None], box, padding=1)[0, 0]
        loss = (moved[mask] - target[mask]).abs().mean() + 0.1 * (smooth - factor).abs().mean()
        loss.backward()
        optimiser.step()
    return depth * factor.detach()


@pytest.mark.parametrize("turned", [False, True])
def test_non_rigid_follows_the_published_optimisation(turned):
    depth, mask = scene()
    reference = depth * torch.tensor([1.05, 0.98])[:, None, None]
    K = intrinsics_from_fov(torch.tensor([0.9, 1.2]), 24, 40)
    rotation = torch.eye(3).repeat(2, 1, 1)
    if turned:
        angle = torch.tensor(0.4)
        rotation[:, 0, 0] = rotation[:, 2, 2] = angle.cos()
        rotation[:, 0, 2], rotation[:, 2, 0] = angle.sin(), -angle.sin()
    # few steps: the L1 loss has kinks at which rounding decides the direction
    aligned = align_non_rigid(depth, reference, mask, K, rotation if turned else None, steps=12)
    for b in range(2):
        expected = published_non_rigid(depth[b], reference[b], mask[b], K[b], rotation[b], 12)
        difference = (aligned[b] - expected).abs()
        assert difference.quantile(0.9) < 1e-4
        assert difference.max() < 5e-3


def test_non_rigid_comes_closer_to_the_reference():
    depth, mask = scene(1)
    reference = depth * 1.05
    aligned = align_non_rigid(depth, reference, mask, intrinsics_from_fov(1.0, 24, 40)[None])
    assert ((aligned - reference).abs()[mask]).mean() < 0.3 * ((depth - reference).abs()[mask]).mean()
