"""Colours of Gaussians are settled: moved towards pictures that they should show."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lyra.raster.front import render
from lyra.raster.options import RenderOptions
from lyra.structures import Cameras, Gaussians

_FAINTEST = 0.1
"""Added to the weights, in pixels: what hardly shows keeps its colour."""
_PLAIN = RenderOptions(depth=False)


def settled(
    gaussians: Gaussians,
    pictures: Sequence[tuple[Cameras, Tensor, float]],
    rounds: int = 1,
    options: RenderOptions = _PLAIN,
) -> Gaussians:
    """Gaussians whose colours, within 0…1, are some steps nearer to pictures.

    A render is linear in the colours, ``r = W c`` with W >= 0. The step ``W'(picture - r) / (W'W 1)``, both summed over
    the pictures, makes their squared error no larger (De Pierro, IEEE Trans. Medical Imaging 1995, on separable
    surrogates). W is never formed; its products are gradients of the renderer. W'W 1 is the same in every step.

    Args:
        gaussians: what is seen.
        pictures: cameras, what they should see [1, 3, H, W], and how often each counts.
        rounds: number of steps.
        options: how they are rendered.
    """
    weight: Tensor | None = None
    for _ in range(rounds):
        towards, weights = torch.zeros_like(gaussians.colors), torch.zeros_like(gaussians.colors[:, :1])
        for camera, picture, often in pictures:
            here, seen = _backproject(gaussians, camera, picture, weight is None, options)
            towards = towards + often * here
            if seen is not None:
                weights = weights + often * seen
        weight = weights if weight is None else weight
        colors = (gaussians.colors + towards / (weight + _FAINTEST)).clamp(0, 1)
        gaussians = replace(gaussians, colors=colors)
    return gaussians


def _backproject(
    gaussians: Gaussians, camera: Cameras, picture: Tensor, weighed: bool, options: RenderOptions
) -> tuple[Tensor, Tensor | None]:
    """Per Gaussian W'(picture - render) [N, 3] and, if asked for, W'W 1 [N, 1]; the alpha of the render is W 1."""
    with torch.enable_grad():
        colors = gaussians.colors.detach().requires_grad_()
        rendering = render(replace(gaussians, colors=colors), camera, options)
        shown, alpha = rendering.rgb.detach(), rendering.alpha.detach()
        (towards,) = torch.autograd.grad(rendering.rgb, colors, picture - shown, retain_graph=weighed)
        if not weighed:
            return towards, None
        (weight,) = torch.autograd.grad(rendering.rgb, colors, alpha[:, None].expand_as(shown))
    return towards, weight[:, :1]
