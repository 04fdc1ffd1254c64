"""Deferred rendering: pictures and gradients of direct rendering, with one view at a time in the backward pass."""

import torch

from lyra.raster import RenderOptions, rasterize
from lyra.training import deferred
from lyra.training.deferred import rasterize_deferred

HEIGHT, WIDTH, VIEWS = 24, 32, 5


def scene(seed: int = 0) -> tuple[list[torch.Tensor], torch.Tensor, torch.Tensor]:
    """60 Gaussians in front of five cameras that step aside."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator)

    means = torch.cat([uniform(60, 2) - 0.5, 1 + uniform(60, 1)], dim=1)
    quats = torch.randn(60, 4, generator=generator)
    leaves = [means, quats, 0.02 + 0.06 * uniform(60, 3), 0.2 + 0.7 * uniform(60), uniform(60, 3)]
    w2c = torch.eye(4).repeat(VIEWS, 1, 1)
    w2c[:, 0, 3] = torch.linspace(-0.2, 0.2, VIEWS)
    K = torch.tensor([[30.0, 0, WIDTH / 2], [0, 30.0, HEIGHT / 2], [0, 0, 1]]).repeat(VIEWS, 1, 1)
    return leaves, w2c, K


def gradients(draw) -> tuple[tuple[torch.Tensor, ...], list[torch.Tensor]]:
    leaves, w2c, K = scene()
    leaves = [leaf.requires_grad_() for leaf in leaves]
    pictures = draw(*leaves, w2c, K, HEIGHT, WIDTH, RenderOptions())
    weights = [torch.randn(p.shape, generator=torch.Generator().manual_seed(1)) for p in pictures]
    loss = sum((p.square() * w).sum() for p, w in zip(pictures, weights, strict=True))
    loss.backward()
    return pictures, [leaf.grad for leaf in leaves]


def test_pictures_and_gradients_are_those_of_direct_rendering():
    direct, expected = gradients(rasterize)
    deferred_pictures, found = gradients(rasterize_deferred)
    for one, other in zip(direct, deferred_pictures, strict=True):
        assert torch.equal(one, other)
    for one, other in zip(expected, found, strict=True):
        assert one.abs().max() > 0.1
        assert (one - other).abs().max() <= 1e-5 * one.abs().max()


def test_one_view_at_a_time_has_a_graph(monkeypatch):
    calls = []

    def counted(*arguments):
        calls.append((torch.is_grad_enabled(), len(arguments[5])))
        return rasterize(*arguments)

    monkeypatch.setattr(deferred, "rasterize", counted)
    gradients(rasterize_deferred)
    assert calls == [(False, VIEWS)] + [(True, 1)] * VIEWS
