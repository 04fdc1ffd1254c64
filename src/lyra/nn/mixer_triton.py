"""Bidirectional Mamba-2 between its projections as one differentiable step of few kernels, for GPUs.

Convolution, scan, gate and norm of both directions run together (``causal_conv_triton``, ``ssm_triton``,
``norms_triton``). Activations keep the dtype that autocast or the tokens give them, parameters and sums are
float32. At 8k tokens launching kernels takes longer than most of them run, so few launches matter as much as fast
ones: parameters are gathered and their slopes returned as one piece of memory, and the slopes of z, x, B, C and dt land
where the projection wants them.
"""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyra.nn.causal_conv_triton import convolve, convolve_backward
from lyra.nn.norms_triton import gated_norm, gated_norm_backward, rms_norm, rms_norm_backward
from lyra.nn.ssm_triton import Scan

_ALIGNMENT = 8
"""The fastest products of half precision want rows that begin at multiples of this many numbers."""


@dataclass(frozen=True)
class MixerSizes:
    """Channels of z and x, state size, head size, and what is added to the mean square of the norm."""

    inner: int
    state: int
    head: int
    eps: float

    @property
    def heads(self) -> int:
        return self.inner // self.head

    @property
    def mixed(self) -> int:
        """Channels of x, B and C together."""
        return self.inner + 2 * self.state


def project(x: Tensor, norm: Tensor, eps: float, weight: Tensor) -> Tensor:
    """W RMSNorm(x) in the dtype that autocast asks for, padded with zeros to a multiple of 8 channels.

    Args:
        x: [b, l, width] tokens.
        norm: [width] weight of the norm.
        eps: added to the mean square.
        weight: [channels, width].
    """
    kind = x.device.type
    dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else x.dtype
    result: Tensor = _Projection.apply(x, norm, eps, weight, dtype)
    return result


class _Projection(torch.autograd.Function):
    """A norm and a linear layer whose output is padded."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, norm: Tensor, eps: float, weight: Tensor, dtype: torch.dtype) -> Tensor:
        channels, width = weight.shape
        padded = weight.new_zeros(channels + -channels % _ALIGNMENT, width, dtype=dtype)
        padded[:channels].copy_(weight)
        x = x.contiguous()
        tokens, scale = rms_norm(x, norm, eps, dtype)
        ctx.save_for_backward(x, norm, scale, tokens, padded)
        ctx.channels, ctx.dtype = channels, weight.dtype
        return tokens @ padded.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, slope: Tensor) -> tuple[Tensor | None, ...]:
        x, norm, scale, tokens, padded = ctx.saved_tensors
        d_weight = slope.flatten(0, 1).mT @ tokens.flatten(0, 1)
        dx, d_norm = rms_norm_backward(slope @ padded, x, norm, scale)
        return dx, d_norm.to(norm.dtype), None, d_weight[: ctx.channels].to(ctx.dtype), None


def fused_mixer(projected: Tensor, parameters: list[tuple[Tensor, Tensor]], sizes: MixerSizes) -> Tensor:
    """Both scans of ``BidirectionalMamba2`` with gate and norm, added.

    Args:
        projected: [b, l, inner + (inner + 2 state) + heads + padding] contiguous: z, x, B, C, raw dt.
        parameters: of both scans, in this order: weights [inner + 2 state, 1, taps] and biases of the convolution,
            dt_bias, A_log, D, weight of the norm.
        sizes: of the mixer.

    Returns:
        [b, l, inner] in the dtype of ``projected``.
    """
    flat = [value for pair in parameters for value in pair]
    result: Tensor = _Mixer.apply(projected, sizes, torch.is_grad_enabled(), *flat)
    return result


class _Mixer(torch.autograd.Function):
    """Bridge between autograd and the kernels."""

    @staticmethod
    def forward(ctx: Any, projected: Tensor, sizes: MixerSizes, differentiable: bool, *parameters: Tensor) -> Tensor:
        z, xBC, dt = _parts(projected, sizes)
        together = torch.cat([value.flatten() for value in parameters]).float()
        weight, bias, dt_bias, A_log, D, norm = _stacked(together, [value.numel() for value in parameters[::2]], sizes)
        if not differentiable:  # one direction after the other needs half the memory
            y = projected.new_empty(2, *projected.shape[:2], sizes.inner)
            for direction in range(2):
                only = slice(direction, direction + 1)
                mixed = convolve(xBC, weight[only], bias[only], direction)
                scan = Scan.of(mixed, sizes.heads, sizes.head, direction)
                scan.forward(mixed, dt, dt_bias[only], A_log[only], D[only], out=y[only])
                del mixed
            return gated_norm(y, z, norm, sizes.eps)[0]
        mixed = convolve(xBC, weight, bias)
        ctx.scan = Scan.of(mixed, sizes.heads, sizes.head)
        y, kept = ctx.scan.forward(mixed, dt, dt_bias, A_log, D)
        out, scale = gated_norm(y, z, norm, sizes.eps)
        ctx.sizes, ctx.shapes = sizes, [(value.shape, value.dtype) for value in parameters]
        ctx.save_for_backward(projected, mixed, y, scale, weight, bias, dt_bias, A_log, D, norm, *kept)
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, d_out: Tensor) -> tuple[Tensor | None, ...]:
        projected, mixed, y, scale, weight, bias, dt_bias, A_log, D, norm, *kept = ctx.saved_tensors
        sizes: MixerSizes = ctx.sizes
        z, xBC, dt = _parts(projected, sizes)
        slope = torch.empty_like(projected)
        dz, d_xBC, d_dt = _parts(slope, sizes)
        spare = projected.shape[-1] - sizes.inner - sizes.mixed - sizes.heads
        dy, d_norm = gated_norm_backward(d_out.contiguous(), y, z, norm, scale, dz)
        d_mixed = torch.empty_like(mixed)
        of_scan = ctx.scan.backward(dy, mixed, dt, dt_bias, A_log, D, tuple(kept), d_mixed, d_dt, spare)
        d_weight, d_bias = convolve_backward(d_mixed, xBC, weight, bias, d_xBC)
        of_pairs = (d_weight, d_bias, *of_scan.unbind(0), d_norm)
        slopes = [value for pair in of_pairs for value in pair]
        return (
            slope,
            None,
            None,
            *(value.reshape(shape).to(dtype) for value, (shape, dtype) in zip(slopes, ctx.shapes, strict=True)),
        )


def _parts(projected: Tensor, sizes: MixerSizes) -> tuple[Tensor, Tensor, Tensor]:
    """z, the values of the convolution, dt (with what pads it)."""
    return (
        projected[..., : sizes.inner],
        projected[..., sizes.inner : sizes.inner + sizes.mixed],
        projected[..., sizes.inner + sizes.mixed :],
    )


def _stacked(together: Tensor, counts: list[int], sizes: MixerSizes) -> list[Tensor]:
    """Parameters of both scans, which lie one behind the other in ``together``, as [2, ...]."""
    parts = together.split([2 * count for count in counts])
    weight, *others = (part.unflatten(0, (2, -1)) for part in parts)
    return [weight.unflatten(1, (sizes.mixed, -1)), *others]
