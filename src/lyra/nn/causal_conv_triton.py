"""The depthwise causal convolution of Mamba-2 with its SiLU as one Triton kernel each way, channels last.

torch's depthwise convolution wants channels first and would copy the tokens twice; here they stay where they are, and
the last token may come first.
"""

from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

_TOKENS, _CHANNELS, _WARPS = 32, 64, 4


def causal_conv_silu(x: Tensor, weight: Tensor, bias: Tensor, reverse: bool = False) -> Tensor:
    """silu(bias_c + sum_j weight_cj x_(t - taps + 1 + j)c), with x = 0 before the first token.

    Args:
        x: [b, l, c], any strides.
        weight: [c, taps].
        bias: [c].
        reverse: take the tokens from the last to the first, as if x were flipped before and after.

    Returns:
        [b, l, c] in the dtype of x; sums are float32.
    """
    y: Tensor = _Convolution.apply(x, weight.to(x.dtype), bias.to(x.dtype), reverse)
    return y


class _Convolution(torch.autograd.Function):
    """Bridge between autograd and the kernels."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, reverse: bool) -> Tensor:
        out = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        _forward[_grid(x)](
            x, weight.contiguous(), bias, out, x.shape[1], x.shape[2], *x.stride(), TAPS=weight.shape[1],
            REVERSE=reverse, TOKENS=_TOKENS, CHANNELS=_CHANNELS, num_warps=_WARPS,
        )  # fmt: skip
        ctx.save_for_backward(x, weight, bias)
        ctx.reverse = reverse
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, bias = ctx.saved_tensors
        dx = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        taps, (tiles, _, batch) = weight.shape[1], _grid(x)
        parts = torch.empty(batch, tiles, taps + 1, x.shape[2], dtype=torch.float32, device=x.device)
        _backward[_grid(x)](
            x, weight.contiguous(), bias, dy, dx, parts, x.shape[1], x.shape[2], *x.stride(), *dy.stride(), TAPS=taps,
            REVERSE=ctx.reverse, TOKENS=_TOKENS, CHANNELS=_CHANNELS, num_warps=_WARPS,
        )  # fmt: skip
        sums = parts.sum(dim=(0, 1))
        return dx, sums[:taps].mT.to(weight.dtype), sums[taps].to(bias.dtype), None


def _grid(x: Tensor) -> tuple[int, int, int]:
    return triton.cdiv(x.shape[1], _TOKENS), triton.cdiv(x.shape[2], _CHANNELS), x.shape[0]


# A token is addressed by its distance from the first one of the tile, which is found with a 64-bit offset.


@triton.jit
def _taken(x, start, r, c, length, channels, x_l, x_c, sign):
    """x [TOKENS, CHANNELS] in float32 at the places ``r`` of the tile, which may lie before or behind it."""
    inside = ((start + r >= 0) & (start + r < length))[:, None] & (c < channels)[None, :]
    return tl.load(x + (sign * r)[:, None] * x_l + c[None, :] * x_c, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _preactivation(x, weight, bias, start, r, c, length, channels, x_l, x_c, sign, TAPS: tl.constexpr):
    total = tl.load(bias + c, mask=c < channels, other=0.0).to(tl.float32)[None, :]
    for tap in tl.static_range(TAPS):
        value = _taken(x, start, r - (TAPS - 1) + tap, c, length, channels, x_l, x_c, sign)
        factor = tl.load(weight + c * TAPS + tap, mask=c < channels, other=0.0)
        total = total + value * factor.to(tl.float32)[None, :]
    return total


@triton.jit
def _forward(
    x, weight, bias, out, length, channels, x_b, x_l, x_c,
    TAPS: tl.constexpr, REVERSE: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    b, start = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * TOKENS
    first = length - 1 - start if REVERSE else start
    r = tl.arange(0, TOKENS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    x += b * x_b + first * x_l
    total = _preactivation(x, weight, bias, start, r, c, length, channels, x_l, x_c, sign, TAPS)
    result = total * tl.sigmoid(total)
    target = out + (b * length + first) * channels + (sign * r)[:, None] * channels + c[None, :]
    inside = (start + r < length)[:, None] & (c < channels)[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _backward(
    x, weight, bias, dy, dx, parts, length, channels, x_b, x_l, x_c, dy_b, dy_l, dy_c,
    TAPS: tl.constexpr, REVERSE: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    b, start = tl.program_id(2).to(tl.int64), tl.program_id(0).to(tl.int64) * TOKENS
    first = length - 1 - start if REVERSE else start
    r = tl.arange(0, TOKENS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    x += b * x_b + first * x_l
    dy += b * dy_b + first * dy_l
    parts += (b * tl.num_programs(0) + tl.program_id(0)) * (TAPS + 1) * channels
    total = tl.zeros([TOKENS, CHANNELS], tl.float32)
    for ahead in tl.static_range(TAPS):  # the outputs that a token takes part in: its own and the next ones
        before = _preactivation(x, weight, bias, start, r + ahead, c, length, channels, x_l, x_c, sign, TAPS)
        gate = tl.sigmoid(before)
        slope = _taken(dy, start, r + ahead, c, length, channels, dy_l, dy_c, sign)
        slope = slope * gate * (1 + before * (1 - gate))
        factor = tl.load(weight + c * TAPS + (TAPS - 1 - ahead), mask=c < channels, other=0.0)
        total += slope * factor.to(tl.float32)[None, :]
        if ahead == 0:
            tl.store(parts + TAPS * channels + c, tl.sum(slope, axis=0), mask=c < channels)
            for tap in tl.static_range(TAPS):
                value = _taken(x, start, r - (TAPS - 1) + tap, c, length, channels, x_l, x_c, sign)
                tl.store(parts + tap * channels + c, tl.sum(slope * value, axis=0), mask=c < channels)
    target = dx + (b * length + first) * channels + (sign * r)[:, None] * channels + c[None, :]
    inside = (start + r < length)[:, None] & (c < channels)[None, :]
    tl.store(target, total.to(dx.dtype.element_ty), mask=inside)
