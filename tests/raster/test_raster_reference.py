"""The oracle's own gradients against central differences in float64."""

import pytest
import torch

from lyra.raster import RenderOptions, rasterize


@pytest.mark.parametrize(
    "options",
    [
        RenderOptions(backend="reference"),
        RenderOptions(backend="reference", antialiased=True, background=(0.2, 0.4, 0.6)),
        RenderOptions(backend="reference", response="ray", ray_depth_gradient=True),
    ],
    ids=["ewa", "antialiased", "ray"],
)
def test_gradients_match_finite_differences(options, random_scene, two_cameras):
    scene = [t.double().requires_grad_() for t in random_scene(12, seed=3, scale=0.15)]
    w2c, K = (t[:1].double() for t in two_cameras(7, 9))
    generator = torch.Generator().manual_seed(1)
    weights = torch.randn(3, 7, 9, generator=generator, dtype=torch.float64)

    def score(*leaves):
        rgb, depth, alpha = rasterize(*leaves, w2c, K, 7, 9, options)
        return ((rgb[0] * weights).sum() + (depth[0] * weights[0]).sum() + (alpha[0] * weights[1]).sum())[None]

    assert torch.autograd.gradcheck(score, scene, eps=1e-6, atol=1e-6, rtol=1e-5)


def test_ray_depth_moves_no_mean_unless_asked(random_scene, two_cameras):
    w2c, K = (t[:1].double() for t in two_cameras(7, 9))

    def slope(flag: bool) -> torch.Tensor:
        leaves = [t.double().requires_grad_() for t in random_scene(12, seed=3, scale=0.15)]
        options = RenderOptions(backend="reference", response="ray", ray_depth_gradient=flag)
        rasterize(*leaves, w2c, K, 7, 9, options)[1].sum().backward()
        return leaves[0].grad

    # The difference is exactly the blended weight of each Gaussian, along the viewing axis only.
    difference = slope(True) - slope(False)
    assert difference[:, 2].max() > 1e-3
    assert difference[:, :2].abs().max() < 1e-12
