"""Rendering that keeps no graph: pictures first, and the gradient by rendering each view again in the backward pass.

The graph of a rendering holds every view's tables at once; here only one view's exist at any time. The gradients are
those of direct rendering (Zhang et al. 2022, "ARF: Artistic Radiance Fields", deferred back-propagation).
"""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyra.raster import RenderOptions, rasterize


def rasterize_deferred(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    options: RenderOptions,
) -> tuple[Tensor, Tensor, Tensor]:
    """As ``lyra.raster.rasterize``: rgb [V, 3, H, W], depth and alpha [V, H, W]; cameras get no gradient."""
    rgb, depth, alpha = _Deferred.apply(means, quats, scales, opacities, colors, w2c, K, height, width, options)
    return rgb, depth, alpha


class _Deferred(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, *arguments: Any) -> tuple[Tensor, ...]:
        with torch.no_grad():
            pictures = rasterize(*arguments)
        ctx.save_for_backward(*arguments[:-3])
        ctx.rest = arguments[-3:]
        return pictures

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *slopes: Tensor) -> tuple[Tensor | None, ...]:
        *gaussians, w2c, K = ctx.saved_tensors
        totals = [torch.zeros_like(tensor) for tensor in gaussians]
        for view in range(len(w2c)):
            leaves = [tensor.detach().requires_grad_() for tensor in gaussians]
            with torch.enable_grad():
                part = slice(view, view + 1)
                pictures = rasterize(*(*leaves, w2c[part], K[part], *ctx.rest))
            found = torch.autograd.grad(pictures, leaves, [slope[part] for slope in slopes])
            for total, slope in zip(totals, found, strict=True):
                total += slope
        return (*totals, None, None, None, None, None)
