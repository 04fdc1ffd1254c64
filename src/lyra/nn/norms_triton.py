"""The norms of a Mamba-2 block in Triton, one kernel each way: before the projection, and of the two gated scans.

``rms_norm`` is w x / rms(x). ``gated_norm`` is, with s = silu(z) and g_d = y_d s for scan d, sum_d w_d g_d / rms(g_d).
Sums are float32.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lyra.nn.triton_sizes import pieces, room

_ROWS, _ROWS_BACKWARD = 4, 2
"""Tokens at once."""
_STEPS = 8
"""How often a program of the backward pass does so, for fewer partial sums."""


def rms_norm(x: Tensor, weight: Tensor, eps: float, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """x [b, l, c] contiguous, normed over the channels, in ``dtype``; 1 / rms [b l] float32 for the backward pass."""
    channels, tokens = x.shape[-1], x.shape[0] * x.shape[1]
    out = torch.empty(x.shape, dtype=dtype, device=x.device)
    scale = torch.empty(tokens, dtype=torch.float32, device=x.device)
    _rms_norm[(pieces(tokens, _ROWS),)](
        x, weight, out, scale, tokens, channels, eps, ROWS=_ROWS, COLUMNS=room(channels), num_warps=4
    )
    return out, scale


def rms_norm_backward(d_out: Tensor, x: Tensor, weight: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
    """Slopes of x, in its dtype, and of weight, float32, from contiguous ``d_out``."""
    channels, tokens = x.shape[-1], x.shape[0] * x.shape[1]
    dx = torch.empty_like(x)
    programs = pieces(tokens, _ROWS_BACKWARD * _STEPS)
    parts = torch.empty(programs, channels, dtype=torch.float32, device=x.device)
    _rms_norm_backward[(programs,)](
        d_out, x, weight, scale, dx, parts, tokens, channels, ROWS=_ROWS_BACKWARD, STEPS=_STEPS,
        COLUMNS=room(channels), num_warps=4,
    )  # fmt: skip
    return dx, parts.sum(0)


def gated_norm(y: Tensor, z: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """The normed and gated sum of both scans.

    Args:
        y: [2, b, l, c] contiguous.
        z: [b, l, c] gate, with stride 1.
        weight: [2, c] contiguous.
        eps: added to the mean square.

    Returns:
        [b, l, c] in the dtype of y, and 1 / rms [2, b l] float32 for ``gated_norm_backward``.
    """
    _, batch, length, channels = y.shape
    out = torch.empty(y.shape[1:], dtype=y.dtype, device=y.device)
    scale = torch.empty(2, batch * length, dtype=torch.float32, device=y.device)
    _gated_norm[(pieces(batch * length, _ROWS),)](
        y, z, weight, out, scale, batch * length, length, channels, *z.stride()[:2], eps, ROWS=_ROWS,
        COLUMNS=room(channels), num_warps=4,
    )  # fmt: skip
    return out, scale


def gated_norm_backward(
    d_out: Tensor, y: Tensor, z: Tensor, weight: Tensor, scale: Tensor, dz: Tensor
) -> tuple[Tensor, Tensor]:
    """Fill ``dz`` [b, l, c] (stride 1) from contiguous ``d_out`` [b, l, c]; the slopes of y, and of weight [2, c]."""
    _, batch, length, channels = y.shape
    dy = torch.empty_like(y)
    programs = pieces(batch * length, _ROWS_BACKWARD * _STEPS)
    parts = torch.empty(programs, 2, channels, dtype=torch.float32, device=y.device)
    _gated_norm_backward[(programs,)](
        d_out, y, z, weight, scale, dy, dz, parts, batch * length, length, channels, *z.stride()[:2], *dz.stride()[:2],
        ROWS=_ROWS_BACKWARD, STEPS=_STEPS, COLUMNS=room(channels), num_warps=8,
    )  # fmt: skip
    return dy, parts.sum(0)


@triton.jit
def _of_scan(d, rows, columns, tokens, channels):
    return (d * tokens + rows).to(tl.int64)[:, None] * channels + columns[None, :]


@triton.jit
def _rms_norm(x, weight, out, scale, tokens, channels, eps, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < tokens)[:, None] & (column < channels)[None, :]
    place = _of_scan(0, row, column, tokens, channels)
    value = tl.load(x + place, mask=inside, other=0.0).to(tl.float32)
    factor = tl.rsqrt(tl.sum(value * value, axis=1) / channels + eps)
    share = tl.load(weight + column, mask=column < channels, other=0.0).to(tl.float32)
    tl.store(scale + row, factor, mask=row < tokens)
    tl.store(out + place, (value * factor[:, None] * share[None, :]).to(out.dtype.element_ty), mask=inside)


@triton.jit
def _rms_norm_backward(
    d_out, x, weight, scale, dx, parts, tokens, channels,
    ROWS: tl.constexpr, STEPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    known = column < channels
    share = tl.load(weight + column, mask=known, other=0.0).to(tl.float32)
    sums = tl.zeros([COLUMNS], tl.float32)
    for step in range(STEPS):
        row = (program * STEPS + step) * ROWS + tl.arange(0, ROWS)
        inside = (row < tokens)[:, None] & known[None, :]
        place = _of_scan(0, row, column, tokens, channels)
        slope = tl.load(d_out + place, mask=inside, other=0.0).to(tl.float32)
        factor = tl.load(scale + row, mask=row < tokens, other=0.0)[:, None]
        normed = tl.load(x + place, mask=inside, other=0.0).to(tl.float32) * factor
        sums += tl.sum(slope * normed, axis=0)
        d_normed = slope * share[None, :]
        shared = tl.sum(d_normed * normed, axis=1) / channels
        result = factor * (d_normed - normed * shared[:, None])
        tl.store(dx + place, result.to(dx.dtype.element_ty), mask=inside)
    tl.store(parts + program.to(tl.int64) * channels + column, sums, mask=known)


@triton.jit
def _place(rows, columns, length, stride_b, stride_l):
    token = rows.to(tl.int64)
    return ((token // length) * stride_b + (token % length) * stride_l)[:, None] + columns[None, :]


@triton.jit
def _gated_norm(
    y, z, weight, out, scale, tokens, length, channels, z_b, z_l, eps, ROWS: tl.constexpr, COLUMNS: tl.constexpr
):
    row = tl.program_id(0) * ROWS + tl.arange(0, ROWS)
    column = tl.arange(0, COLUMNS)
    inside = (row < tokens)[:, None] & (column < channels)[None, :]
    gate = tl.load(z + _place(row, column, length, z_b, z_l), mask=inside, other=0.0).to(tl.float32)
    gate = gate * tl.sigmoid(gate)
    total = tl.zeros([ROWS, COLUMNS], tl.float32)
    for d in tl.static_range(2):
        value = tl.load(y + _of_scan(d, row, column, tokens, channels), mask=inside, other=0.0).to(tl.float32)
        gated = value * gate
        factor = tl.rsqrt(tl.sum(gated * gated, axis=1) / channels + eps)
        tl.store(scale + d * tokens + row, factor, mask=row < tokens)
        share = tl.load(weight + d * channels + column, mask=column < channels, other=0.0)
        total += gated * factor[:, None] * share[None, :]
    tl.store(out + _of_scan(0, row, column, tokens, channels), total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _gated_norm_backward(
    d_out, y, z, weight, scale, dy, dz, parts, tokens, length, channels, z_b, z_l, dz_b, dz_l,
    ROWS: tl.constexpr, STEPS: tl.constexpr, COLUMNS: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    column = tl.arange(0, COLUMNS)
    known = column < channels
    scan = tl.arange(0, 2)
    sums = tl.zeros([2, COLUMNS], tl.float32)
    for step in range(STEPS):
        row = (program * STEPS + step) * ROWS + tl.arange(0, ROWS)
        inside = (row < tokens)[:, None] & known[None, :]
        slope = tl.load(d_out + _of_scan(0, row, column, tokens, channels), mask=inside, other=0.0).to(tl.float32)
        given = tl.load(z + _place(row, column, length, z_b, z_l), mask=inside, other=0.0).to(tl.float32)
        half = tl.sigmoid(given)
        gate = given * half
        d_gate = tl.zeros([ROWS, COLUMNS], tl.float32)
        for d in tl.static_range(2):
            own = _of_scan(d, row, column, tokens, channels)
            value = tl.load(y + own, mask=inside, other=0.0).to(tl.float32)
            factor = tl.load(scale + d * tokens + row, mask=row < tokens, other=0.0)
            normed = value * gate * factor[:, None]
            sums += tl.where((scan == d)[:, None], tl.sum(slope * normed, axis=0)[None, :], 0.0)
            d_normed = slope * tl.load(weight + d * channels + column, mask=known, other=0.0)[None, :]
            shared = tl.sum(d_normed * normed, axis=1) / channels
            d_gated = factor[:, None] * (d_normed - normed * shared[:, None])
            d_gate += d_gated * value
            tl.store(dy + own, (d_gated * gate).to(dy.dtype.element_ty), mask=inside)
        d_z = d_gate * half * (1 + given * (1 - half))
        tl.store(dz + _place(row, column, length, dz_b, dz_l), d_z.to(dz.dtype.element_ty), mask=inside)
    target = parts + program.to(tl.int64) * 2 * channels + scan[:, None] * channels + column[None, :]
    tl.store(target, sums, mask=known[None, :])
