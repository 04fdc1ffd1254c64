"""The Numba backend against the dense float64 oracle: pictures and gradients."""

import pytest
import torch

from lyra.raster import RenderOptions, rasterize

VARIANTS = {
    "ewa": {"response": "ewa"},
    "antialiased": {"response": "ewa", "antialiased": True},
    "no blur": {"response": "ewa", "eps2d": 0.0},
    "ray": {"response": "ray"},
    "ray with depth gradient": {"response": "ray", "ray_depth_gradient": True},
}


def scene(count: int, scale: float, seed: int) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    z = 0.8 + 4 * torch.rand(count, 1, generator=generator)
    # Wider than the picture, so that the clamped Jacobian and cut boxes take part.
    means = torch.cat([(torch.rand(count, 2, generator=generator) - 0.5) * 2.6 * z, z], dim=1)
    quats = torch.randn(count, 4, generator=generator)
    scales = scale * torch.exp(0.7 * torch.randn(count, 3, generator=generator))
    opacities = torch.sigmoid(2 * torch.randn(count, generator=generator))
    return [means, quats, scales, opacities, torch.rand(count, 3, generator=generator)]


def cameras(height: int, width: int) -> tuple[torch.Tensor, torch.Tensor]:
    turn = torch.tensor([[0.0, -0.1, 0.12], [0.1, 0.0, 0.06], [-0.12, -0.06, 0.0]])
    w2c = torch.eye(4).repeat(2, 1, 1)
    w2c[1, :3, :3] = torch.linalg.matrix_exp(turn)
    w2c[1, :3, 3] = torch.tensor([0.2, -0.1, 0.3])
    K = torch.tensor([[0.7 * width, 0, 0.45 * width], [0, 0.65 * width, 0.55 * height], [0, 0, 1.0]])
    return w2c, K.repeat(2, 1, 1)


def picture_and_slopes(leaves, height, width, dtype, **options):
    leaves = [t.to(dtype).clone().requires_grad_() for t in leaves]
    out = rasterize(*leaves, *cameras(height, width), height, width, RenderOptions(**options))
    generator = torch.Generator().manual_seed(9)
    loss = sum((plane * torch.randn(plane.shape, generator=generator).to(plane)).sum() for plane in out)
    loss.backward()
    return [plane.detach() for plane in out], [leaf.grad for leaf in leaves]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize(
    ("count", "scale", "height", "width"), [(250, 0.05, 37, 53), (1200, 0.03, 16, 33), (60, 0.4, 29, 19)]
)
def test_matches_the_oracle(variant, count, scale, height, width):
    leaves = scene(count, scale, seed=count)
    options = VARIANTS[variant] | {"background": (0.2, 0.5, 0.7)}
    ours, slopes = picture_and_slopes(leaves, height, width, torch.float32, backend="cpu", **options)
    oracle, true_slopes = picture_and_slopes(leaves, height, width, torch.float64, backend="reference", **options)
    assert oracle[2].mean() > 0.1, "the scene must fill some of the picture"
    for name, a, b in zip(("rgb", "depth", "alpha"), ours, oracle, strict=True):
        assert (a - b).abs().max() <= 1e-4, name
    for name, a, b in zip(("means", "quats", "scales", "opacities", "colors"), slopes, true_slopes, strict=True):
        assert b.norm() > 0, name
        assert (a - b).norm() / b.norm() <= 1e-4, name


def test_flat_and_needle_gaussians_by_ray_response():
    leaves = scene(200, 0.08, seed=5)
    leaves[2][:100, 0] = 1e-4
    leaves[2][100:, :2] = 1e-3
    ours, slopes = picture_and_slopes(leaves, 40, 40, torch.float32, backend="cpu", response="ray")
    oracle, true_slopes = picture_and_slopes(leaves, 40, 40, torch.float64, backend="reference", response="ray")
    for a, b in zip(ours, oracle, strict=True):
        assert (a - b).abs().max() <= 1e-4
    for a, b in zip(slopes, true_slopes, strict=True):
        # Centres are stored in float32: 2e-6 of a pixel, beside needles a fiftieth of a pixel wide.
        assert (a - b).norm() / b.norm() <= 1e-3


def test_ray_response_of_gaussians_that_reach_behind_the_camera():
    leaves = scene(6, 0.05, seed=2)
    leaves[0][:] = torch.tensor([0.1, 0.05, 0.3]) + 0.02 * leaves[0]
    leaves[2][:] = torch.tensor([0.05, 0.1, 0.4])
    leaves[3][:] = 0.3
    ours, slopes = picture_and_slopes(leaves, 24, 40, torch.float32, backend="cpu", response="ray")
    oracle, true_slopes = picture_and_slopes(leaves, 24, 40, torch.float64, backend="reference", response="ray")
    for a, b in zip(ours, oracle, strict=True):
        assert (a - b).abs().max() <= 1e-4
    for a, b in zip(slopes, true_slopes, strict=True):
        assert (a - b).norm() / b.norm() <= 1e-4
