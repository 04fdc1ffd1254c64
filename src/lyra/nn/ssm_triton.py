"""The Mamba-2 scan fused for GPUs: forward and backward as a few Triton kernels around plain matrix products.

The sums are those of ``ssm.chunked_scan``, arranged after Dao & Gu 2024 ("Transformers are SSMs", section 6). In a
chunk of K tokens with steps dt, a = dt A, and s the running sum of a from the start of the chunk:

    y_i = sum_{j <= i} G_ij exp(s_i - s_j) dt_j x_j  +  exp(s_i) S C_i  +  D x_i,     G = C B^T, the same for all heads
    S'  = exp(s_K) S  +  sum_j exp(s_K - s_j) dt_j x_j B_j^T,                         S before the chunk, S' after it

With dS' the gradient of S', and R_ij = (dy_i . x_j) G_ij exp(s_i - s_j) dt_j for j <= i, the gradients are

    dS   = exp(s_K) dS' + sum_i exp(s_i) dy_i C_i^T
    dx_j = dt_j (sum_{i >= j} G_ij exp(s_i - s_j) dy_i + exp(s_K - s_j) dS' B_j) + D dy_j
    ds_i = sum_j R_ij + q_i - sum_k R_ki - r_i,   at the end of the chunk also + <dS', S'>
    q_i  = exp(s_i) dy_i . S C_i,   r_j = exp(s_K - s_j) dt_j x_j . dS' B_j

and those of dt and A follow from ds by a running sum from the end of the chunk. Row and column sums of R are taken of
the same numbers, so they cancel to float32 rounding whatever the dtype of x.

Steps, decays, states and sums are float32; products run in the dtype of x. Differences of running sums would lose in
float32 what the exponential then shows, so for float32 values each sum is kept as two numbers, itself and the rest that
rounding took from it. Results are the same bits in every run.
"""

from typing import Any

import torch
import torch.nn.functional as F
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyra.nn.precision import full_precision

CHUNK = 256
TILE = 64
"""Tokens per chunk, and rows of the tiles that one program handles."""
_WARPS = 8
_STATE_BLOCK = 1024


def fused_scan(
    x: Tensor,
    dt: Tensor,
    A: Tensor,
    B: Tensor,
    C: Tensor,
    D: Tensor,
    reverse: bool = False,
    chunk: int = CHUNK,
    tile: int = TILE,
) -> Tensor:
    """The scan of ``ssm.recurrent_scan``, with gradients in all six arguments.

    Args:
        x: [b, l, heads, p] values, any strides.
        dt: [b, l, heads] positive step sizes, taken as float32.
        A: [heads] negative decay rates, taken as float32.
        B, C: [b, l, n] input and output directions, in the dtype of x.
        D: [heads] weight of the direct path.
        reverse: scan from the last token to the first.
        chunk, tile: sizes of the arrangement; powers of two, a chunk holds whole tiles. They change rounding only.

    Returns:
        [b, l, heads, p] in the dtype of x.
    """
    if chunk % tile or chunk & (chunk - 1) or tile & (tile - 1):
        raise ValueError(f"fused_scan: chunk {chunk} and tile {tile} must be powers of two, a chunk of whole tiles")
    B, C = B.to(x.dtype), C.to(x.dtype)
    y: Tensor = _Scan.apply(x, dt.float(), A.float(), B, C, D.float(), reverse, chunk, tile)
    return y


class _Scan(torch.autograd.Function):
    """Bridge between autograd and the kernels."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        dt: Tensor,
        A: Tensor,
        B: Tensor,
        C: Tensor,
        D: Tensor,
        reverse: bool,
        chunk: int,
        tile: int,
    ) -> Tensor:
        plan = _Plan(x, B, reverse, chunk, tile)
        steps, sums, rests = plan.steps_and_sums(dt, A)
        states = plan.outer_sums(x, steps * plan.to_end(sums, rests), B)
        plan.carry(states, sums, backward=False)
        with full_precision(x.device):
            products = plan.in_chunks(C) @ plan.in_chunks(B).mT
        y = plan.mix(products, x, steps, sums, rests, C, states, D, backward=False)
        ctx.save_for_backward(x, dt, A, B, C, D, steps, sums, rests, states, products)
        ctx.plan = plan
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, dt, A, B, C, D, steps, sums, rests, states, products = ctx.saved_tensors
        plan: _Plan = ctx.plan
        from_start, to_end = sums.exp(), plan.to_end(sums, rests)
        slopes = plan.outer_sums(dy, from_start, C)
        plan.carry(slopes, sums, backward=True)  # of each chunk's last state
        dx = plan.mix(products, dy, steps, sums, rests, B, slopes, D, backward=True)

        d_products, rows, columns, direct = plan.pairs(dy, x, products, steps, sums, rests)
        dC, q = plan.gather(dy, states, from_start, from_start, C)
        dB, r = plan.gather(x, slopes, to_end * steps, to_end, B)
        d_products = d_products.to(x.dtype)
        dC = plan.out_of_chunks(dC + (d_products @ plan.in_chunks(B)).float().view_as(dC))
        dB = plan.out_of_chunks(dB + (d_products.mT @ plan.in_chunks(C)).float().view_as(dB))

        d_steps = columns + r
        d_sums = (rows + q - steps * d_steps).unflatten(-1, (plan.chunks, plan.chunk))
        # the state after a chunk is the one before the next; after the last chunk nothing reads it
        d_sums[..., :-1, -1] += plan.products_of_states(slopes[:, :-1], states[:, 1:])
        d_rates = d_sums.flip(-1).cumsum(-1, dtype=plan.wide).flip(-1).flatten(-2).float()  # of a = dt A
        d_steps = plan.back_in_order(d_steps + d_rates * A[:, None])
        dA = (d_rates * steps).sum(dim=(0, 2))
        return dx, d_steps.to(dt.dtype), dA, dB.to(B.dtype), dC.to(C.dtype), direct, None, None, None


class _Plan:
    """Sizes and launches of one scan. "Order" below means the order of the scan: backwards in time if ``reverse``."""

    def __init__(self, x: Tensor, B: Tensor, reverse: bool, chunk: int, tile: int) -> None:
        self.batch, self.length, self.heads, self.size = x.shape
        self.state = B.shape[-1]
        self.reverse, self.tile = reverse, tile
        self.chunk = min(chunk, max(tile, triton.next_power_of_2(self.length)))
        self.chunks = triton.cdiv(self.length, self.chunk)
        self.padded = self.chunks * self.chunk
        self.device = x.device
        self.columns = max(16, triton.next_power_of_2(self.size))
        self.block = min(128, max(16, triton.next_power_of_2(self.state)))
        self.exact = x.dtype == torch.float32
        self.wide = torch.float64 if self.exact else torch.float32
        self.precision = "ieee" if self.exact else "tf32"
        self.common = {"CHUNK": self.chunk, "TILE": tile, "REVERSE": reverse, "PRECISION": self.precision}

    def steps_and_sums(self, dt: Tensor, A: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Steps in order, 0 behind the last token, and the running sums of dt A in each chunk: [b, heads, padded].

        The third is what float32 leaves out of the sums; for half precision, where it does not matter, it is empty.
        """
        steps = F.pad(self._ordered(dt).mT, (0, self.padded - self.length)).contiguous()
        rates = steps.to(self.wide) * A.to(self.wide)[:, None]
        exact = rates.unflatten(-1, (self.chunks, self.chunk)).cumsum(-1).flatten(-2)
        sums = exact.float()
        return steps, sums, (exact - sums).float() if self.exact else sums[:0]

    def to_end(self, sums: Tensor, rests: Tensor) -> Tensor:
        """[b, heads, padded]: the decay from each token to the end of its chunk."""
        parts = [part.unflatten(-1, (self.chunks, self.chunk)) for part in ((sums, rests) if self.exact else (sums,))]
        return sum(part[..., -1:] - part for part in parts).exp().flatten(-2)

    def in_chunks(self, directions: Tensor) -> Tensor:
        """[b, l, n] to [b, chunks, K, n], in order, zero behind the last token."""
        padded = F.pad(self._ordered(directions), (0, 0, 0, self.padded - self.length))
        return padded.unflatten(1, (self.chunks, self.chunk))

    def out_of_chunks(self, directions: Tensor) -> Tensor:
        """The way back, from [b, padded, n]."""
        return self._ordered(directions[:, : self.length])

    def back_in_order(self, values: Tensor) -> Tensor:
        """[b, heads, padded] to [b, l, heads]."""
        return self._ordered(values[..., : self.length].mT)

    def _ordered(self, values: Tensor) -> Tensor:
        return values.flip(1) if self.reverse else values

    def outer_sums(self, values: Tensor, weights: Tensor, directions: Tensor) -> Tensor:
        """[b, chunks, heads, p, n]: what the tokens of each chunk add to a state, sum_k w_k v_k d_k^T."""
        out = self._new(self.chunks, self.heads, self.size, self.state)
        grid = (self.batch * self.chunks * self.heads, triton.cdiv(self.state, self.block))
        _outer_sums[grid](
            values, weights, directions, out, self.length, self.chunks, self.heads, self.size, self.state,
            *values.stride(), *directions.stride(), COLUMNS=self.columns, BLOCK=self.block, num_warps=_WARPS,
            **self.common,
        )  # fmt: skip
        return out

    def carry(self, states: Tensor, sums: Tensor, backward: bool) -> None:
        """Turn what each chunk adds into the state that it begins with (or, backwards, into the slope it ends with)."""
        total = sums.unflatten(-1, (self.chunks, self.chunk))[..., -1].contiguous()
        area = self.size * self.state
        _carry[(self.batch * self.heads, triton.cdiv(area, _STATE_BLOCK))](
            states, total, self.chunks, self.heads, area, BACKWARD=backward, BLOCK=_STATE_BLOCK, num_warps=_WARPS
        )

    def mix(
        self,
        products: Tensor,
        values: Tensor,
        steps: Tensor,
        sums: Tensor,
        rests: Tensor,
        directions: Tensor,
        states: Tensor,
        D: Tensor,
        backward: bool,
    ) -> Tensor:
        """y from x (forward), or dx from dy (backward): [b, l, heads, p] in the dtype of ``values``."""
        out = torch.empty(values.shape, dtype=values.dtype, device=self.device)
        grid = (self.batch * self.chunks * (self.chunk // self.tile), self.heads)
        _mix[grid](
            products, values, steps, sums, rests, directions, states, D, out, self.length, self.chunks, self.heads,
            self.size, self.state, *values.stride(), *directions.stride(), *out.stride(), BACKWARD=backward,
            COLUMNS=self.columns, BLOCK=min(64, self.block), EXACT=self.exact, num_warps=_WARPS, **self.common,
        )  # fmt: skip
        return out

    def pairs(
        self, dy: Tensor, x: Tensor, products: Tensor, steps: Tensor, sums: Tensor, rests: Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Gradients of G [b, chunks, K, K] and D [heads]; row sums of R, column sums of R / dt: [b, heads, padded]."""
        tiles = self.chunk // self.tile
        gradient = self._new(self.chunks, self.chunk, self.chunk, zero=True)
        rows = self._new(self.chunks, self.heads, tiles, self.chunk, zero=True)
        columns = self._new(self.chunks, self.heads, tiles, self.chunk, zero=True)
        direct = self._new(self.chunks, tiles, self.heads)
        _pairs[(self.batch * self.chunks, tiles, tiles)](
            dy, x, products, steps, sums, rests, gradient, rows, columns, direct, self.length, self.chunks, self.heads,
            self.size, *dy.stride(), *x.stride(), COLUMNS=self.columns, EXACT=self.exact, num_warps=_WARPS,
            **self.common,
        )  # fmt: skip
        row, column = (part.sum(dim=3).transpose(1, 2).flatten(-2) for part in (rows, columns))
        return gradient, row, column, direct.sum(dim=(0, 1, 2))

    def gather(
        self, values: Tensor, states: Tensor, outer: Tensor, inner: Tensor, directions: Tensor
    ) -> tuple[Tensor, Tensor]:
        """For weights w = outer, u = inner: sum over heads of w v^T S [b, padded, n]; u v^T S d [b, heads, padded]."""
        blocks = triton.cdiv(self.state, min(64, self.block))
        out = self._new(self.padded, self.state)
        scalars = self._new(self.heads, blocks, self.padded)
        _gather[(self.batch * self.chunks, self.chunk // self.tile, blocks)](
            values, states, outer, inner, directions, out, scalars, self.length, self.chunks, self.heads, self.size,
            self.state, *values.stride(), *directions.stride(), COLUMNS=self.columns, BLOCK=min(64, self.block),
            num_warps=_WARPS, **self.common,
        )  # fmt: skip
        return out, scalars.sum(dim=2)

    def products_of_states(self, one: Tensor, other: Tensor) -> Tensor:
        """[b, heads, chunks]: inner products of states [b, chunks, heads, p, n], without a copy of either."""
        flat = (one.flatten(-2)[..., None, :] @ other.flatten(-2)[..., None])[..., 0, 0]
        return flat.transpose(1, 2)

    def _new(self, *shape: int, zero: bool = False) -> Tensor:
        make = torch.zeros if zero else torch.empty
        return make((self.batch, *shape), dtype=torch.float32, device=self.device)


# In the kernels a token is addressed by its place inside the chunk: the chunk's first token is found with a 64-bit
# offset, the others of the tile lie at small 32-bit offsets from it, forwards or (if the scan is reversed) backwards.


@triton.jit
def _outer_sums(
    values, weights, directions, out, length, chunks, heads, size, state,
    values_b, values_l, values_h, values_p, directions_b, directions_l, directions_n,
    COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    program = tl.program_id(0)
    h = program % heads
    c = (program // heads) % chunks
    b = (program // (heads * chunks)).to(tl.int64)
    first = (length - 1 - c * CHUNK if REVERSE else c * CHUNK).to(tl.int64)
    values += b * values_b + first * values_l + h * values_h
    directions += b * directions_b + first * directions_l
    weights += (b * heads + h) * chunks * CHUNK + c * CHUNK
    p = tl.arange(0, COLUMNS)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([COLUMNS, BLOCK], tl.float32)
    for start in range(0, CHUNK, TILE):
        k = start + tl.arange(0, TILE)
        inside = c * CHUNK + k < length
        weight = tl.load(weights + k)
        value = tl.load(
            values + (sign * k)[None, :] * values_l + p[:, None] * values_p,
            mask=inside[None, :] & (p < size)[:, None], other=0.0,
        )  # fmt: skip
        direction = tl.load(
            directions + (sign * k)[:, None] * directions_l + n[None, :] * directions_n,
            mask=inside[:, None] & (n < state)[None, :], other=0.0,
        )  # fmt: skip
        weighted = (value.to(tl.float32) * weight[None, :]).to(value.dtype)
        total = tl.dot(weighted, direction, total, input_precision=PRECISION)
    target = out + program.to(tl.int64) * size * state + p[:, None] * state + n[None, :]
    tl.store(target, total, mask=(p < size)[:, None] & (n < state)[None, :])


@triton.jit
def _carry(states, total, chunks, heads, area, BACKWARD: tl.constexpr, BLOCK: tl.constexpr):
    b, h = (tl.program_id(0) // heads).to(tl.int64), tl.program_id(0) % heads
    entry = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    state = tl.zeros([BLOCK], tl.float32)
    for step in range(chunks):
        c = chunks - 1 - step if BACKWARD else step
        place = states + ((b * chunks + c) * heads + h) * area + entry
        added = tl.load(place, mask=entry < area, other=0.0)
        tl.store(place, state, mask=entry < area)
        state = state * tl.exp(tl.load(total + (b * heads + h) * chunks + c)) + added


@triton.jit
def _mix(
    products, values, steps, sums, rests, directions, states, direct, out, length, chunks, heads, size, state,
    values_b, values_l, values_h, values_p, directions_b, directions_l, directions_n, out_b, out_l, out_h, out_p,
    BACKWARD: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    tiles: tl.constexpr = CHUNK // TILE
    tile = tl.program_id(0) % tiles
    c = (tl.program_id(0) // tiles) % chunks
    b = (tl.program_id(0) // (tiles * chunks)).to(tl.int64)
    h = tl.program_id(1)
    first = (length - 1 - c * CHUNK if REVERSE else c * CHUNK).to(tl.int64)
    left = length - c * CHUNK
    values += b * values_b + first * values_l + h * values_h
    directions += b * directions_b + first * directions_l
    out += b * out_b + first * out_l + h * out_h
    steps += (b * heads + h) * chunks * CHUNK + c * CHUNK
    sums += (b * heads + h) * chunks * CHUNK + c * CHUNK
    rests += (b * heads + h) * chunks * CHUNK + c * CHUNK
    states += ((b * chunks + c) * heads + h) * size * state
    products += (b * chunks + c) * CHUNK * CHUNK
    p = tl.arange(0, COLUMNS)
    row = tile * TILE + tl.arange(0, TILE)
    sum_row = tl.load(sums + row)

    # what the state at the chunk's start gives (forward), or what the slope of its end gives (backward)
    total = tl.zeros([TILE, COLUMNS], tl.float32)
    for start in range(0, state, BLOCK):
        n = start + tl.arange(0, BLOCK)
        direction = tl.load(
            directions + (sign * row)[:, None] * directions_l + n[None, :] * directions_n,
            mask=(row < left)[:, None] & (n < state)[None, :], other=0.0,
        )  # fmt: skip
        held = tl.load(
            states + p[None, :] * state + n[:, None], mask=(p < size)[None, :] & (n < state)[:, None], other=0.0
        )
        total = tl.dot(direction, held.to(direction.dtype), total, input_precision=PRECISION)
    if BACKWARD:
        gap_to_end = tl.load(sums + CHUNK - 1) - sum_row
        if EXACT:
            gap_to_end += tl.load(rests + CHUNK - 1) - tl.load(rests + row)
        total = total * tl.exp(gap_to_end)[:, None]
    else:
        total = total * tl.exp(sum_row)[:, None]

    # what the other tokens of the chunk give
    for other in range(tile if BACKWARD else 0, tiles if BACKWARD else tile + 1):
        column = other * TILE + tl.arange(0, TILE)
        sum_column = tl.load(sums + column)
        if BACKWARD:
            weight = tl.load(products + column[None, :] * CHUNK + row[:, None]).to(tl.float32)
            keep = row[:, None] <= column[None, :]
            gap = sum_column[None, :] - sum_row[:, None]
            if EXACT:
                gap += tl.load(rests + column)[None, :] - tl.load(rests + row)[:, None]
        else:
            weight = tl.load(products + row[:, None] * CHUNK + column[None, :]).to(tl.float32)
            keep = row[:, None] >= column[None, :]
            gap = sum_row[:, None] - sum_column[None, :]
            if EXACT:
                gap += tl.load(rests + row)[:, None] - tl.load(rests + column)[None, :]
            weight = weight * tl.load(steps + column)[None, :]
        weight = tl.where(keep, weight * tl.exp(tl.where(keep, gap, 0.0)), 0.0)
        value = tl.load(
            values + (sign * column)[:, None] * values_l + p[None, :] * values_p,
            mask=(column < left)[:, None] & (p < size)[None, :], other=0.0,
        )  # fmt: skip
        total = tl.dot(weight.to(value.dtype), value, total, input_precision=PRECISION)
    if BACKWARD:
        total = total * tl.load(steps + row)[:, None]

    inside = (row < left)[:, None] & (p < size)[None, :]
    own = tl.load(values + (sign * row)[:, None] * values_l + p[None, :] * values_p, mask=inside, other=0.0)
    total += tl.load(direct + h) * own.to(tl.float32)
    target = out + (sign * row)[:, None] * out_l + p[None, :] * out_p
    tl.store(target, total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _pairs(
    dy, x, products, steps, sums, rests, gradient, rows, columns, direct, length, chunks, heads, size,
    dy_b, dy_l, dy_h, dy_p, x_b, x_l, x_h, x_p, COLUMNS: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    tiles: tl.constexpr = CHUNK // TILE
    c = tl.program_id(0) % chunks
    b = (tl.program_id(0) // chunks).to(tl.int64)
    upper, lower = tl.program_id(1), tl.program_id(2)
    if lower > upper:
        return
    first = (length - 1 - c * CHUNK if REVERSE else c * CHUNK).to(tl.int64)
    left = length - c * CHUNK
    dy += b * dy_b + first * dy_l
    x += b * x_b + first * x_l
    steps += b * heads * chunks * CHUNK + c * CHUNK
    sums += b * heads * chunks * CHUNK + c * CHUNK
    rests += b * heads * chunks * CHUNK + c * CHUNK
    p = tl.arange(0, COLUMNS)
    row, column = upper * TILE + tl.arange(0, TILE), lower * TILE + tl.arange(0, TILE)
    keep = row[:, None] >= column[None, :]
    spot = row[:, None] * CHUNK + column[None, :]
    product = tl.load(products + (b * chunks + c) * CHUNK * CHUNK + spot).to(tl.float32)
    total = tl.zeros([TILE, TILE], tl.float32)
    for h in range(heads):
        slope = tl.load(
            dy + h * dy_h + (sign * row)[:, None] * dy_l + p[None, :] * dy_p,
            mask=(row < left)[:, None] & (p < size)[None, :], other=0.0,
        )  # fmt: skip
        value = tl.load(
            x + h * x_h + (sign * column)[None, :] * x_l + p[:, None] * x_p,
            mask=(column < left)[None, :] & (p < size)[:, None], other=0.0,
        )  # fmt: skip
        inner = tl.dot(slope, value, input_precision=PRECISION)
        if upper == lower:
            own = tl.sum(tl.sum(tl.where(row[:, None] == column[None, :], inner, 0.0), axis=1), axis=0)
            tl.store(direct + ((b * chunks + c) * tiles + upper) * heads + h, own)
        table = h * chunks * CHUNK
        gap = tl.load(sums + table + row)[:, None] - tl.load(sums + table + column)[None, :]
        if EXACT:
            gap += tl.load(rests + table + row)[:, None] - tl.load(rests + table + column)[None, :]
        inner = tl.where(keep, inner * tl.exp(tl.where(keep, gap, 0.0)), 0.0)
        step = tl.load(steps + table + column)
        total += inner * step[None, :]
        inner = inner * product
        share = ((b * chunks + c) * heads + h) * tiles * CHUNK
        tl.store(rows + share + lower * CHUNK + row, tl.sum(inner * step[None, :], axis=1))
        tl.store(columns + share + upper * CHUNK + column, tl.sum(inner, axis=0))
    tl.store(gradient + (b * chunks + c) * CHUNK * CHUNK + spot, total)


@triton.jit
def _gather(
    values, states, outer, inner, directions, out, scalars, length, chunks, heads, size, state,
    values_b, values_l, values_h, values_p, directions_b, directions_l, directions_n,
    COLUMNS: tl.constexpr, BLOCK: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, REVERSE: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    sign: tl.constexpr = -1 if REVERSE else 1
    c = tl.program_id(0) % chunks
    b = (tl.program_id(0) // chunks).to(tl.int64)
    first = (length - 1 - c * CHUNK if REVERSE else c * CHUNK).to(tl.int64)
    left = length - c * CHUNK
    values += b * values_b + first * values_l
    directions += b * directions_b + first * directions_l
    states += (b * chunks + c) * heads * size * state
    outer += b * heads * chunks * CHUNK + c * CHUNK
    inner += b * heads * chunks * CHUNK + c * CHUNK
    p = tl.arange(0, COLUMNS)
    n = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    row = tl.program_id(1) * TILE + tl.arange(0, TILE)
    direction = tl.load(
        directions + (sign * row)[:, None] * directions_l + n[None, :] * directions_n,
        mask=(row < left)[:, None] & (n < state)[None, :], other=0.0,
    ).to(tl.float32)  # fmt: skip
    total = tl.zeros([TILE, BLOCK], tl.float32)
    for h in range(heads):
        value = tl.load(
            values + h * values_h + (sign * row)[:, None] * values_l + p[None, :] * values_p,
            mask=(row < left)[:, None] & (p < size)[None, :], other=0.0,
        )  # fmt: skip
        held = tl.load(
            states + h * size * state + p[:, None] * state + n[None, :],
            mask=(p < size)[:, None] & (n < state)[None, :], other=0.0,
        )  # fmt: skip
        product = tl.dot(value, held.to(value.dtype), input_precision=PRECISION)
        table = h * chunks * CHUNK + row
        total += product * tl.load(outer + table)[:, None]
        scalar = tl.sum(product * direction, axis=1) * tl.load(inner + table)
        target = scalars + ((b * heads + h) * tl.num_programs(2) + tl.program_id(2)) * chunks * CHUNK
        tl.store(target + c * CHUNK + row, scalar)
    target = out + ((b * chunks + c) * CHUNK + row[:, None]) * state + n[None, :]
    tl.store(target, total, mask=(n < state)[None, :])
