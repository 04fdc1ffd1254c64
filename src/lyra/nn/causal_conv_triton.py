"""The depthwise causal convolution of Mamba-2 with its SiLU in Triton, channels last, along and against the tokens.

torch's depthwise convolution wants channels first and would copy the tokens twice; here they stay where they are, and
both scans read the same ones. Backwards, one kernel takes the slope of the sum before SiLU, with the slopes of weights
and biases, and another spreads it over the tokens that took part and adds the scans.
"""

import torch
import triton
import triton.language as tl
from torch import Tensor

from lyra.nn.triton_sizes import pieces, room

_TOKENS, _CHANNELS, _WARPS = 32, 64, 4
_TILES = 8
"""Tiles of tokens that one program of the backward pass goes through, for fewer partial sums."""


def convolve(x: Tensor, weight: Tensor, bias: Tensor, against: int = 0) -> Tensor:
    """silu(bias_c + sum_j weight_cj x_(t - taps + 1 + j)c), with x = 0 before the first token, for every scan.

    Args:
        x: [b, l, c] with stride 1.
        weight: [scans, c, taps] contiguous.
        bias: [scans, c].
        against: 1 if the first scan goes from the last token to the first, 0 if only the second does.

    Returns:
        [scans, b, l, c] in the dtype of x; sums are float32.
    """
    scans, channels, taps = weight.shape
    batch, length, _ = x.shape
    out = torch.empty(scans, batch, length, channels, dtype=x.dtype, device=x.device)
    grid = (pieces(length, _TOKENS), pieces(channels, _CHANNELS), scans * batch)
    _forward[grid](
        x, weight, bias, out, length, channels, batch, *x.stride()[:2], TAPS=taps, AGAINST=against, TOKENS=_TOKENS,
        CHANNELS=_CHANNELS, num_warps=_WARPS,
    )  # fmt: skip
    return out


def convolve_backward(dy: Tensor, x: Tensor, weight: Tensor, bias: Tensor, dx: Tensor) -> tuple[Tensor, Tensor]:
    """Fill ``dx`` [b, l, c] (stride 1) from ``dy`` [scans, b, l, c]; slopes of weight and bias, float32.

    The first scan goes along the tokens. ``dy`` is overwritten.
    """
    scans, channels, taps = weight.shape
    batch, length, _ = x.shape
    columns = pieces(channels, _CHANNELS)
    strips = pieces(length, _TOKENS * _TILES)
    parts = torch.empty(batch * strips, scans * channels * (taps + 1), dtype=torch.float32, device=x.device)
    _slopes[(strips, columns, scans * batch)](
        x, weight, bias, dy, parts, length, channels, batch, *x.stride()[:2], TAPS=taps,
        ROOM=room(taps + 1), TOKENS=_TOKENS, CHANNELS=_CHANNELS, TILES=_TILES, num_warps=_WARPS,
    )  # fmt: skip
    _spread[(pieces(length, _TOKENS), columns, batch)](
        weight, dy, dx, length, channels, batch, *dx.stride()[:2], SCANS=scans, TAPS=taps, TOKENS=_TOKENS,
        CHANNELS=_CHANNELS, num_warps=_WARPS,
    )  # fmt: skip
    d_weight, d_bias = parts.sum(0).split((weight.numel(), bias.numel()))
    return d_weight.view_as(weight), d_bias.view_as(bias)


# A token is addressed by its distance from the first one of the tile, which is found with a 64-bit offset.


@triton.jit
def _taken(x, start, r, c, length, channels, stride):
    """x [TOKENS, CHANNELS] in float32 at ``r`` tokens from ``start``, zero before the first and behind the last one."""
    inside = ((start + r >= 0) & (start + r < length))[:, None] & (c < channels)[None, :]
    return tl.load(x + r[:, None] * stride + c[None, :], mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _forward(
    x, weight, bias, out, length, channels, batch, x_b, x_l,
    TAPS: tl.constexpr, AGAINST: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    start = tl.program_id(0) * TOKENS
    db = tl.program_id(2)
    d, b = db // batch, db % batch
    way = 2 * (d + AGAINST) - 1  # towards the tokens that came before
    r = tl.arange(0, TOKENS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    x += b.to(tl.int64) * x_b + start.to(tl.int64) * x_l
    weight += d * channels * TAPS
    total = tl.zeros([TOKENS, CHANNELS], tl.float32)
    total += tl.load(bias + d * channels + c, mask=c < channels, other=0.0).to(tl.float32)[None, :]
    for ago in tl.static_range(TAPS):
        value = _taken(x, start, r + way * ago, c, length, channels, x_l)
        factor = tl.load(weight + c * TAPS + (TAPS - 1 - ago), mask=c < channels, other=0.0)
        total += value * factor.to(tl.float32)[None, :]
    result = total * tl.sigmoid(total)
    target = out + (db.to(tl.int64) * length + start) * channels + r[:, None] * channels + c[None, :]
    inside = (start + r < length)[:, None] & (c < channels)[None, :]
    tl.store(target, result.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _slopes(
    x, weight, bias, dy, parts, length, channels, batch, x_b, x_l,
    TAPS: tl.constexpr, ROOM: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr, TILES: tl.constexpr,
):  # fmt: skip
    """dy times the slope of SiLU, in place; per strip of tokens the sums for the slopes of weights and bias."""
    strip, db = tl.program_id(0), tl.program_id(2)
    d, b = db // batch, db % batch
    way = 2 * d - 1
    r = tl.arange(0, TOKENS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    known = c < channels
    tap = tl.arange(0, ROOM)
    weight += d * channels * TAPS
    offset = tl.load(bias + d * channels + c, mask=known, other=0.0).to(tl.float32)
    sums = tl.zeros([ROOM, CHANNELS], tl.float32)
    for tile in range(TILES):
        start = (strip * TILES + tile) * TOKENS
        inputs = x + b.to(tl.int64) * x_b + start.to(tl.int64) * x_l
        total = tl.zeros([TOKENS, CHANNELS], tl.float32) + offset[None, :]
        for ago in tl.static_range(TAPS):
            value = _taken(inputs, start, r + way * ago, c, length, channels, x_l)
            factor = tl.load(weight + c * TAPS + (TAPS - 1 - ago), mask=known, other=0.0)
            total += value * factor.to(tl.float32)[None, :]
        gate = tl.sigmoid(total)
        place = dy + (db.to(tl.int64) * length + start) * channels + r[:, None] * channels + c[None, :]
        inside = (start + r < length)[:, None] & known[None, :]
        slope = tl.load(place, mask=inside, other=0.0).to(tl.float32) * gate * (1 + total * (1 - gate))
        tl.store(place, slope.to(dy.dtype.element_ty), mask=inside)
        for ago in tl.static_range(TAPS):
            value = _taken(inputs, start, r + way * ago, c, length, channels, x_l)
            share = tl.sum(slope * value, axis=0)
            sums += tl.where((tap == TAPS - 1 - ago)[:, None], share[None, :], 0.0)
        sums += tl.where((tap == TAPS)[:, None], tl.sum(slope, axis=0)[None, :], 0.0)
    scans = tl.num_programs(2) // batch
    own = d * channels + c[None, :]
    spot = tl.where((tap < TAPS)[:, None], own * TAPS + tap[:, None], scans * channels * TAPS + own)
    parts += (b * tl.num_programs(0) + strip).to(tl.int64) * scans * channels * (TAPS + 1)
    tl.store(parts + spot, sums, mask=(tap <= TAPS)[:, None] & known[None, :])


@triton.jit
def _spread(
    weight, slopes, dx, length, channels, batch, dx_b, dx_l,
    SCANS: tl.constexpr, TAPS: tl.constexpr, TOKENS: tl.constexpr, CHANNELS: tl.constexpr,
):  # fmt: skip
    start, b = tl.program_id(0) * TOKENS, tl.program_id(2)
    r = tl.arange(0, TOKENS)
    c = tl.program_id(1) * CHANNELS + tl.arange(0, CHANNELS)
    total = tl.zeros([TOKENS, CHANNELS], tl.float32)
    for d in tl.static_range(SCANS):
        given = slopes + ((d * batch + b).to(tl.int64) * length + start) * channels
        for ahead in tl.static_range(TAPS):  # the sums that a token takes part in: its own and the next ones
            value = _taken(given, start, r + (1 - 2 * d) * ahead, c, length, channels, channels)
            factor = tl.load(weight + (d * channels + c) * TAPS + (TAPS - 1 - ahead), mask=c < channels, other=0.0)
            total += value * factor.to(tl.float32)[None, :]
    target = dx + b.to(tl.int64) * dx_b + start.to(tl.int64) * dx_l + r[:, None] * dx_l + c[None, :]
    inside = (start + r < length)[:, None] & (c < channels)[None, :]
    tl.store(target, total.to(dx.dtype.element_ty), mask=inside)
