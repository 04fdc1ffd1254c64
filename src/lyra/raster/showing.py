"""How much of pictures each Gaussian fills."""

from dataclasses import replace

import torch
from torch import Tensor

from lyra.raster.front import render
from lyra.raster.options import RenderOptions
from lyra.structures import Cameras, Gaussians


def shown_of(
    gaussians: Gaussians, cameras: Cameras, options: RenderOptions | None = None, weights: Tensor | None = None
) -> Tensor:
    """[N] pixels that each Gaussian fills in the pictures of T cameras: the sum of its blending weights.

    A render is linear in the colours, so this is the gradient of its sum by one channel of them, as in `recolor`.
    ``weights`` [T] say how often each picture counts; ``None`` for once.
    """
    with torch.enable_grad():
        colors = gaussians.colors.detach().clone().requires_grad_()
        rgb = render(replace(gaussians, colors=colors), cameras, options or RenderOptions(depth=False)).rgb
        often = rgb.new_ones(len(rgb)) if weights is None else weights.to(rgb.device)
        (found,) = torch.autograd.grad((often[:, None, None] * rgb[:, 0]).sum(), colors)
    return found[:, 0]
