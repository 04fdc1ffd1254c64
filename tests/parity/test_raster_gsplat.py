"""The Numba backend and the float64 oracle against gsplat on a GPU: pictures and gradients of both responses.

What "equal" means: gsplat computes exp with fast-math and in float32 throughout, so at the jumps of the rule (the 1/255
cut, the stop, two depths that tie) single pixels take the other branch and differ by up to 1/255. Those are rare: the
mean error must stay below 2e-4 and the error that 99.9 % of the values keep below 2e-3. The ray response also culls by
another box there (unscented transform), which removes rims of a few Gaussians: its mean must stay below 2e-3.
"""

import importlib.util

import pytest
import torch

from lyra.raster import RenderOptions, rasterize

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
    pytest.mark.skipif(importlib.util.find_spec("gsplat") is None, reason="needs gsplat"),
]

HEIGHT, WIDTH, COUNT = 121, 203, 20_000
FEW = 2_000
"""Gaussians that the dense oracle can hold."""

CHOICES = pytest.mark.parametrize(
    ("options", "mean_limit"),
    [
        ({"response": "ewa"}, 2e-4),
        ({"response": "ewa", "antialiased": True}, 2e-4),
        ({"response": "ray"}, 2e-3),
        ({"response": "ray", "ray_depth_gradient": True}, 2e-3),
    ],
    ids=["ewa", "antialiased", "ray", "ray with depth gradient"],
)


def scene(count: int = COUNT) -> list[torch.Tensor]:
    generator = torch.Generator().manual_seed(4)
    z = 1 + 4 * torch.rand(count, 1, generator=generator)
    means = torch.cat([(torch.rand(count, 2, generator=generator) - 0.5) * 1.6 * z, z], dim=1)
    quats = torch.randn(count, 4, generator=generator)
    # About 1.5 pixels at any depth.
    scales = 1.5 * z / (0.7 * WIDTH) * torch.exp(0.4 * torch.randn(count, 3, generator=generator))
    opacities = torch.sigmoid(1.5 * torch.randn(count, generator=generator))
    return [means, quats, scales, opacities, torch.rand(count, 3, generator=generator)]


def draw(
    backend: str, device: str, count: int = COUNT, dtype: torch.dtype = torch.float32, **options
) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
    leaves = [t.to(device, dtype).requires_grad_() for t in scene(count)]
    w2c = torch.eye(4, device=device).repeat(3, 1, 1)
    w2c[1:, 0, 3] = torch.tensor([0.2, -0.3])
    w2c[2, 2, 3] = 0.25
    K = torch.tensor([[0.7 * WIDTH, 0, WIDTH / 2], [0, 0.7 * WIDTH, HEIGHT / 2], [0, 0, 1.0]], device=device)
    choice = RenderOptions(backend=backend, background=(0.3, 0.6, 0.9), **options)
    planes = rasterize(*leaves, w2c, K.repeat(3, 1, 1), HEIGHT, WIDTH, choice)
    generator = torch.Generator().manual_seed(8)
    weights = [torch.randn(plane.shape, generator=generator).to(device) for plane in planes]
    sum((plane * weight).mean() for plane, weight in zip(planes, weights, strict=True)).backward()
    return [plane.detach().cpu().float() for plane in planes], [leaf.grad.cpu().float() for leaf in leaves]


def check(ours, theirs, response: str, mean_limit: float) -> None:
    """Each side: pictures (rgb, depth, alpha), and slopes of the five leaves."""
    (ours, slopes), (theirs, their_slopes) = ours, theirs
    covered = ours[2] > 0.05  # expected depth is a ratio of small numbers elsewhere
    for name, a, b in zip(("rgb", "depth", "alpha"), ours, theirs, strict=True):
        error = (a - b).abs()
        if name == "depth":
            error = error[covered] / a[covered]
        assert error.mean() <= mean_limit, name
        if response == "ewa":
            assert error.flatten().kthvalue(int(0.999 * error.numel())).values <= 2e-3, name
    for name, a, b in zip(("means", "quats", "scales", "opacities", "colors"), slopes, their_slopes, strict=True):
        assert (a - b).norm() / a.norm() <= 2e-2, name


@CHOICES
def test_numba_and_gsplat_agree(options, mean_limit):
    check(draw("cpu", "cpu", **options), draw("cuda", "cuda", **options), options["response"], mean_limit)


@CHOICES
def test_oracle_and_gsplat_agree(options, mean_limit):
    ours = draw("reference", "cuda", FEW, torch.float64, **options)
    check(ours, draw("cuda", "cuda", FEW, **options), options["response"], mean_limit)


def test_cuda_tensors_take_cuda_by_default_and_stay_there():
    leaves = [t.cuda() for t in scene()]
    K = torch.tensor([[140.0, 0, 50], [0, 140.0, 50], [0, 0, 1]], device="cuda")[None]
    rgb, depth, alpha = rasterize(*leaves, torch.eye(4, device="cuda")[None], K, 100, 100)
    assert rgb.is_cuda and depth.is_cuda and alpha.is_cuda
    empty = rasterize(*(t[:0] for t in leaves), torch.eye(4, device="cuda")[None], K, 100, 100)
    assert empty[2].abs().max() == 0
