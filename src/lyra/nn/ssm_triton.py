"""The Mamba-2 scan fused for GPUs: forward and backward as a few Triton kernels that take both directions at once.

The sums are those of ``ssm.chunked_scan``, arranged after Dao & Gu 2024 ("Transformers are SSMs", section 6). In a
chunk of K tokens with steps dt, a = dt A, and s the running sum of a from the start of the chunk:

    y_i = sum_{j <= i} G_ij exp(s_i - s_j) dt_j x_j  +  exp(s_i) S C_i  +  D x_i,     G = C B^T, the same for all heads
    S'  = exp(s_K) S  +  sum_j exp(s_K - s_j) dt_j x_j B_j^T,                         S before the chunk, S' after it

With dS' the gradient of S', and R_ij = (dy_i . x_j) G_ij exp(s_i - s_j) dt_j for j <= i, the gradients are

    dS   = exp(s_K) dS' + sum_i exp(s_i) dy_i C_i^T
    dx_j = dt_j (sum_{i >= j} G_ij exp(s_i - s_j) dy_i + exp(s_K - s_j) dS' B_j) + D dy_j
    ds_i = sum_j R_ij + q_i - sum_k R_ki - r_i,   at the end of the chunk also + exp(s_K) <dS', S> + sum_j r_j
    q_i  = exp(s_i) dy_i . S C_i,   r_j = exp(s_K - s_j) dt_j x_j . dS' B_j

and those of dt and A follow from ds by a running sum from the end of the chunk. What cancels in that sum, the row
against the column sums of R and the r_j against those at the end, is taken of the same numbers, so it does so to
float32 rounding whatever the dtype of x: otherwise a rounding error of the chunk would enter the gradient of each step.
The products behind ds are therefore as good as float32 in half precision too: G is computed again where it is needed,
and states, which are float32, are rounded to two numbers instead of one.

Steps and their running sums are computed in float64, decays, states and sums are float32; products run in the dtype of
x. Differences of running sums would lose in float32 what the exponential then shows, so for float32 values each sum is
kept as two numbers, itself and the rest that rounding took from it. For float32 values the row and column sums of R are
float64, too: of a token that is soon forgotten both are as large as they can be and nearly equal, and what their
roundings leave between them would enter the slope of every step before it in the chunk. Results are the same bits in
every run.

The scans lie along the first axis of all values: scan 0 goes along the tokens, scan 1 against them. Both cut the
sequence into the same chunks; a *place* is a token's position inside its chunk in the order of the scan. Places without
a token have a step of zero, which neither decays nor writes.
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.autograd.function import once_differentiable

from lyra.nn.triton_sizes import pieces, room

TILE = 64
"""Rows of the tiles that one program handles."""
_WARPS = 8
_STATE_BLOCK = 1024


def chunk_length(state: int) -> int:
    """Tokens per chunk: more where the states are larger, which are kept once a chunk."""
    return 128 if state <= 64 else 256


def fused_scan(
    xBC: Tensor, dt: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor, head: int, chunk: int = 0, tile: int = TILE
) -> Tensor:
    """The scan of ``ssm.recurrent_scan`` along the tokens, against them, or both, with gradients in all tensors.

    Args:
        xBC: [scans, b, l, inner + 2 state] values, input and output directions; one scan (along) or two (the second one
            against).
        dt: [b, l, heads] raw steps; the steps of a scan are softplus(dt + dt_bias).
        dt_bias, A_log, D: [scans, heads] float32 (the rates are -exp(A_log)).
        head: head size; inner = heads x head.
        chunk, tile: sizes of the arrangement; powers of two, a chunk holds whole tiles. They change rounding only.

    Returns:
        [scans, b, l, inner] in the dtype of xBC.
    """
    scan = Scan.of(xBC, dt.shape[-1], head, chunk=chunk, tile=tile)
    y: Tensor = _Function.apply(scan, xBC.contiguous(), dt.contiguous(), dt_bias, A_log, D)
    return y


class _Function(torch.autograd.Function):
    """Bridge between autograd and the kernels."""

    @staticmethod
    def forward(ctx: Any, scan: "Scan", xBC: Tensor, dt: Tensor, *parameters: Tensor) -> Tensor:
        parameters = tuple(value.contiguous() for value in parameters)
        y, kept = scan.forward(xBC, dt, *parameters)
        ctx.scan = scan
        ctx.save_for_backward(xBC, dt, *parameters, *kept)
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        xBC, dt, *rest = ctx.saved_tensors
        d_xBC, d_dt = torch.empty_like(xBC), torch.empty_like(dt)
        slopes = ctx.scan.backward(dy.contiguous(), xBC, dt, *rest[:3], tuple(rest[3:]), d_xBC, d_dt)
        return None, d_xBC, d_dt, *slopes.unbind(0)


@dataclass(frozen=True)
class Scan:
    """Sizes and launches of scans over values [scans, b, l, inner + 2 state].

    Attributes:
        against: 1 if the first scan goes against the tokens, 0 otherwise.
        exact: float32 values; half precision otherwise.
    """

    scans: int
    batch: int
    length: int
    heads: int
    size: int
    state: int
    chunk: int
    tile: int
    against: int
    exact: bool

    @classmethod
    def of(cls, xBC: Tensor, heads: int, size: int, against: int = 0, chunk: int = 0, tile: int = TILE) -> "Scan":
        """For values [scans, b, l, heads size + 2 state] of this dtype; ``chunk`` 0 chooses it."""
        scans, batch, length, channels = xBC.shape
        state = (channels - heads * size) // 2
        chunk = chunk or chunk_length(state)
        if chunk % tile or chunk & (chunk - 1) or tile & (tile - 1):
            raise ValueError(f"fused_scan: chunk {chunk} and tile {tile} must be powers of two, a chunk of whole tiles")
        chunk = min(chunk, max(tile, room(length)))
        return cls(scans, batch, length, heads, size, state, chunk, tile, against, xBC.dtype == torch.float32)

    @cached_property
    def chunks(self) -> int:
        return pieces(self.length, self.chunk)

    @cached_property
    def inner(self) -> int:
        return self.heads * self.size

    def forward(
        self, xBC: Tensor, dt: Tensor, dt_bias: Tensor, A_log: Tensor, D: Tensor, out: Tensor | None = None
    ) -> tuple[Tensor, tuple[Tensor, ...]]:
        """y [scans, b, l, inner], in ``out`` if given, and what ``backward`` needs.

        The values must be contiguous, dt [b, l, heads] have stride 1.
        """
        steps, sums, *rest = self._new(xBC, 3 if self.exact else 2, self._programs * self.heads * self.chunk).unbind(0)
        rests = rest[0] if rest else sums  # for half precision rounding does not matter
        _steps[(self.scans * self.batch * self.chunks, self.heads)](
            dt, dt_bias, A_log, steps, sums, rests, self.length, self.chunks, self.heads, self.batch, *dt.stride()[:2],
            EXACT=self.exact, CHUNK=self.chunk, AGAINST=self.against, num_warps=4,
        )  # fmt: skip
        B, C = self._directions(xBC)
        products = xBC.new_empty(self._programs, self.chunk, self.chunk)
        _products[(self._programs, self._tiles, self._tiles)](
            B, C, products, self.length, self.chunks, self.batch, self.state, xBC.shape[-1],
            BLOCK=min(64, self._block), num_warps=4, **self._common,
        )  # fmt: skip
        tables = (steps, sums, rests)
        states = self._outer_sums(xBC, B, tables, backward=False)
        self._carry(states, states, tables, backward=False)
        y = xBC.new_empty(*xBC.shape[:-1], self.inner) if out is None else out
        self._mix(products, xBC, C, y, tables, states, D, backward=False)
        return y, (steps, sums, rests, states, products)

    def backward(
        self,
        dy: Tensor,
        xBC: Tensor,
        dt: Tensor,
        dt_bias: Tensor,
        A_log: Tensor,
        D: Tensor,
        kept: tuple[Tensor, ...],
        d_xBC: Tensor,
        d_dt: Tensor,
        spare: int = 0,
    ) -> Tensor:
        """Fill the slopes of xBC and dt; returns those of dt_bias, A_log and D, [3, scans, heads] float32.

        ``d_dt`` [b, l, heads + spare] has stride 1; its spare columns become zero.
        """
        steps, sums, rests, states, products = kept
        tables, tiles = (steps, sums, rests), self._tiles
        B, C = self._directions(xBC)
        slopes = self._outer_sums(dy, C, tables, backward=True)
        dots = self._carry(slopes, states, tables, backward=True)  # slopes of each chunk's last state
        self._mix(products, dy, B, d_xBC, tables, slopes, D, backward=True)

        d_products = torch.empty_like(products)
        wide = torch.float64 if self.exact else torch.float32
        rows, columns = self._new(xBC, 2, self._programs, self.heads, tiles, self.chunk, dtype=wide)
        direct = self._new(xBC, self._programs, tiles, self.heads)
        _pairs[(self._programs, tiles, tiles)](
            dy, xBC, B, C, steps, sums, rests, d_products, rows, columns, direct, self.length, self.chunks, self.heads,
            self.batch, self.size, self.state, xBC.shape[-1], COLUMNS=self._columns, BLOCK=min(64, self._block),
            EXACT=self.exact, num_warps=_WARPS, **self._common,
        )  # fmt: skip
        blocks = pieces(self.state, min(64, self._block))
        ends, own = self._new(xBC, 2, self.scans, self.batch, self.heads, blocks, self.chunks * self.chunk)
        dB, dC = self._directions(d_xBC)
        for of_B, values, held, one, other, out, scalars in (
            (False, dy, states, C, B, dC, own),
            (True, xBC, slopes, B, C, dB, ends),
        ):
            _gather[(self._programs, tiles, blocks)](
                values, held, d_products, steps, sums, rests, one, other, out, scalars, self.length, self.chunks,
                self.heads, self.batch, self.size, self.state, values.shape[-1], xBC.shape[-1], OF_B=of_B,
                COLUMNS=self._columns, BLOCK=min(64, self._block), EXACT=self.exact, num_warps=_WARPS, **self._common,
            )  # fmt: skip
        parts = self._new(xBC, self.batch * self.chunks, 3, self.scans, self.heads)
        _steps_backward[(self.batch * self.chunks, self.heads + spare)](
            dt, dt_bias, A_log, steps, rows, columns, own, ends, dots, direct, d_dt, parts, self.length, self.chunks,
            self.heads, self.batch, *dt.stride()[:2], *d_dt.stride()[:2], blocks, dots.shape[1], SCANS=self.scans,
            CHUNK=self.chunk, TILE=self.tile, AGAINST=self.against, num_warps=4,
        )  # fmt: skip
        return parts.sum(0)

    def _outer_sums(self, values: Tensor, directions: Tensor, tables: tuple[Tensor, ...], backward: bool) -> Tensor:
        """[scans b chunks, heads, p, n]: what the tokens of each chunk add to a state (or, backwards, to its slope)."""
        out = self._new(values, self._programs, self.heads, self.size, self.state)
        _outer_sums[(self._programs * self.heads, pieces(self.state, self._block))](
            values, directions, *tables, out, self.length, self.chunks, self.heads, self.batch, self.size, self.state,
            values.shape[-1], directions.stride(2), BACKWARD=backward, COLUMNS=self._columns, BLOCK=self._block,
            EXACT=self.exact, num_warps=_WARPS, **self._common,
        )  # fmt: skip
        return out

    def _carry(self, added: Tensor, starts: Tensor, tables: tuple[Tensor, ...], backward: bool) -> Tensor:
        """Turn what each chunk adds into the state that it begins with (or, backwards, into the slope it ends with).

        Backwards, returns parts of exp(s_K) <slope, start> of each chunk, [scans b heads, parts, chunks].
        """
        area = self.size * self.state
        blocks = pieces(area, _STATE_BLOCK)
        dots = self._new(added, self.scans * self.batch * self.heads, blocks if backward else 0, self.chunks)
        _carry[(self.scans * self.batch * self.heads, blocks)](
            added, starts, tables[1], dots, self.chunks, self.heads, self.batch, area, BACKWARD=backward,
            BLOCK=_STATE_BLOCK, CHUNK=self.chunk, AGAINST=self.against, num_warps=4,
        )  # fmt: skip
        return dots

    def _mix(
        self,
        products: Tensor,
        values: Tensor,
        directions: Tensor,
        out: Tensor,
        tables: tuple[Tensor, ...],
        states: Tensor,
        D: Tensor,
        backward: bool,
    ) -> None:
        """y from x (forward), or dx from dy (backward), into the first channels of ``out``."""
        _mix[(self._programs * self._tiles, self.heads)](
            products, values, directions, out, *tables, states, D, self.length, self.chunks, self.heads, self.batch,
            self.size, self.state, values.shape[-1], directions.stride(2), out.shape[-1], BACKWARD=backward,
            COLUMNS=self._columns, BLOCK=min(64, self._block), EXACT=self.exact, num_warps=_WARPS, **self._common,
        )  # fmt: skip

    def _directions(self, xBC: Tensor) -> tuple[Tensor, Tensor]:
        return xBC[..., self.inner : self.inner + self.state], xBC[..., self.inner + self.state :]

    def _new(self, like: Tensor, *shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
        return torch.empty(shape, dtype=dtype, device=like.device)

    @cached_property
    def _programs(self) -> int:
        return self.scans * self.batch * self.chunks

    @cached_property
    def _tiles(self) -> int:
        return self.chunk // self.tile

    @cached_property
    def _columns(self) -> int:
        return max(16, room(self.size))

    @cached_property
    def _block(self) -> int:
        return min(64 if self.exact else 128, max(16, room(self.state)))

    @cached_property
    def _common(self) -> dict[str, Any]:
        precision = "ieee" if self.exact else "tf32"
        return {"CHUNK": self.chunk, "TILE": self.tile, "AGAINST": self.against, "PRECISION": precision}


# In the kernels a token is addressed by its place: the token at the first place of the chunk is found with a 64-bit
# offset, the others of the tile lie at small 32-bit offsets from it, forwards or (in a scan against them) backwards.


@triton.jit
def _first(c, d, CHUNK: tl.constexpr, AGAINST: tl.constexpr):
    """The token at the first place of chunk ``c`` of scan ``d``, and how far the next place's token is from it."""
    against = d + AGAINST
    return c * CHUNK + against * (CHUNK - 1), 1 - 2 * against


@triton.jit
def _rows(values, first, sign, place, column, left, width, stride):
    """[places, columns] of ``values``, whose token at the first place has index 0; zero outside."""
    inside = (first + sign * place < left)[:, None] & (column < width)[None, :]
    return tl.load(values + (sign * place)[:, None] * stride + column[None, :], mask=inside, other=0.0)


@triton.jit
def _columns(values, first, sign, place, column, left, width, stride):
    """``_rows`` transposed."""
    inside = (first + sign * place < left)[None, :] & (column < width)[:, None]
    return tl.load(values + (sign * place)[None, :] * stride + column[:, None], mask=inside, other=0.0)


@triton.jit
def _step(raw, bias):
    """softplus(raw + bias) and its slope, in float64: a small step has digits that 1 + exp(v) would lose."""
    v = raw.to(tl.float64) + bias.to(tl.float64)
    small = tl.exp(-tl.abs(v))
    step = tl.maximum(v, 0.0) + tl.log(1.0 + small)
    slope = tl.where(v > 0, 1.0, small) / (1.0 + small)
    return step, slope


@triton.jit
def _steps(
    dt, dt_bias, A_log, steps, sums, rests, length, chunks, heads, batch, dt_b, dt_l,
    EXACT: tl.constexpr, CHUNK: tl.constexpr, AGAINST: tl.constexpr,
):  # fmt: skip
    c, db, h = tl.program_id(0) % chunks, tl.program_id(0) // chunks, tl.program_id(1)
    d, b = db // batch, (db % batch).to(tl.int64)
    first, sign = _first(c, d, CHUNK, AGAINST)
    k = tl.arange(0, CHUNK)
    token = first + sign * k
    raw = tl.load(dt + b * dt_b + token.to(tl.int64) * dt_l + h, mask=token < length, other=0.0)
    step, _ = _step(raw, tl.load(dt_bias + d * heads + h))
    step = tl.where(token < length, step, 0.0).to(tl.float32)
    rate = -tl.exp(tl.load(A_log + d * heads + h).to(tl.float64))
    total = tl.cumsum(step.to(tl.float64) * rate, axis=0)
    place = (db * heads + h).to(tl.int64) * chunks * CHUNK + c * CHUNK + k
    tl.store(steps + place, step)
    tl.store(sums + place, total.to(tl.float32))
    if EXACT:
        tl.store(rests + place, (total - total.to(tl.float32).to(tl.float64)).to(tl.float32))


@triton.jit
def _products(
    B, C, products, length, chunks, batch, state, channels, BLOCK: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    program, upper, lower = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if lower > upper:
        return
    c, db = program % chunks, program // chunks
    first, sign = _first(c, db // batch, CHUNK, AGAINST)
    start = (db.to(tl.int64) * length + first) * channels
    row, column = upper * TILE + tl.arange(0, TILE), lower * TILE + tl.arange(0, TILE)
    total = tl.zeros([TILE, TILE], tl.float32)
    for block in range(0, state, BLOCK):
        n = block + tl.arange(0, BLOCK)
        one = _rows(C + start, first, sign, row, n, length, state, channels)
        other = _columns(B + start, first, sign, column, n, length, state, channels)
        total = tl.dot(one, other, total, input_precision=PRECISION)
    target = products + program.to(tl.int64) * CHUNK * CHUNK + row[:, None] * CHUNK + column[None, :]
    tl.store(target, total.to(products.dtype.element_ty))


@triton.jit
def _outer_sums(
    values, directions, steps, sums, rests, out, length, chunks, heads, batch, size, state, values_l, directions_l,
    BACKWARD: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    program = tl.program_id(0)
    h = program % heads
    c = (program // heads) % chunks
    db = program // (heads * chunks)
    first, sign = _first(c, db // batch, CHUNK, AGAINST)
    token = db.to(tl.int64) * length + first
    values += token * values_l + h * size
    directions += token * directions_l
    table = (db * heads + h).to(tl.int64) * chunks * CHUNK + c * CHUNK
    steps += table
    sums += table
    rests += table
    p = tl.arange(0, COLUMNS)
    n = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    total = tl.zeros([COLUMNS, BLOCK], tl.float32)
    for start in range(0, CHUNK, TILE):
        k = start + tl.arange(0, TILE)
        if BACKWARD:
            weight = tl.exp(tl.load(sums + k))
        else:
            gap = tl.load(sums + CHUNK - 1) - tl.load(sums + k)
            if EXACT:
                gap += tl.load(rests + CHUNK - 1) - tl.load(rests + k)
            weight = tl.exp(gap) * tl.load(steps + k)
        value = _columns(values, first, sign, k, p, length, size, values_l)
        direction = _rows(directions, first, sign, k, n, length, state, directions_l)
        weighted = value.to(tl.float32) * weight[None, :]
        rough = weighted.to(value.dtype)
        total = tl.dot(rough, direction, total, input_precision=PRECISION)
        if not EXACT:
            rest = (weighted - rough.to(tl.float32)).to(value.dtype)
            total = tl.dot(rest, direction, total, input_precision=PRECISION)
    target = out + ((db * chunks + c) * heads + h).to(tl.int64) * size * state + p[:, None] * state + n[None, :]
    tl.store(target, total, mask=(p < size)[:, None] & (n < state)[None, :])


@triton.jit
def _arriving(added, starts, sums, step, falling, program, db, h, entry, chunks, heads, area, BACKWARD, CHUNK):
    """Of the chunk met in this step: number, place and existence of its state, what it adds, its start and decay."""
    c = step + falling * (chunks - 1 - 2 * step)
    place = ((db * chunks + c) * heads + h).to(tl.int64) * area + entry
    real = (c >= 0) & (c < chunks)
    inside = entry < tl.where(real, area, 0)
    addition = tl.load(added + place, mask=inside, other=0.0)
    start = addition
    if BACKWARD:
        start = tl.load(starts + place, mask=inside, other=0.0)
    last = (program.to(tl.int64) * chunks + tl.minimum(tl.maximum(c, 0), chunks - 1)) * CHUNK + CHUNK - 1
    total = tl.load(sums + last)
    return c, place, inside, real, addition, start, tl.exp(total)


@triton.jit
def _pass_on(state, arriving, added, dots, BACKWARD):
    """Leave the state at the chunk, take up what it adds."""
    c, place, inside, real, addition, start, decay = arriving
    if BACKWARD:
        dot = decay * tl.sum(state * start, axis=0)
        if real:
            tl.store(dots + c, dot)
    tl.store(added + place, state, mask=inside)
    return state * decay + addition


@triton.jit
def _carry(
    added, starts, sums, dots, chunks, heads, batch, area,
    BACKWARD: tl.constexpr, BLOCK: tl.constexpr, CHUNK: tl.constexpr, AGAINST: tl.constexpr,
):  # fmt: skip
    program, part = tl.program_id(0), tl.program_id(1)
    h, db = program % heads, program // heads
    falling = db // batch + AGAINST  # whether the scan meets the last chunk first
    if BACKWARD:
        falling = 1 - falling
    dots += (program * tl.num_programs(1) + part) * chunks
    entry = part * BLOCK + tl.arange(0, BLOCK)
    state = tl.zeros([BLOCK], tl.float32)
    for step in range(0, chunks, 2):  # reading takes longest: for several chunks at once
        one = _arriving(
            added, starts, sums, step, falling, program, db, h, entry, chunks, heads, area, BACKWARD, CHUNK
        )  # fmt: skip
        other = _arriving(
            added, starts, sums, step + 1, falling, program, db, h, entry, chunks, heads, area, BACKWARD, CHUNK
        )  # fmt: skip
        state = _pass_on(state, one, added, dots, BACKWARD)
        state = _pass_on(state, other, added, dots, BACKWARD)


@triton.jit
def _mix(
    products, values, directions, out, steps, sums, rests, states, direct, length, chunks, heads, batch, size, state,
    values_l, directions_l, out_l,
    BACKWARD: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tiles: tl.constexpr = CHUNK // TILE
    tile, program, h = tl.program_id(0) % tiles, tl.program_id(0) // tiles, tl.program_id(1)
    c, db = program % chunks, program // chunks
    d = db // batch
    first, sign = _first(c, d, CHUNK, AGAINST)
    token = db.to(tl.int64) * length + first
    values += token * values_l + h * size
    directions += token * directions_l
    out += token * out_l + h * size
    table = (db * heads + h).to(tl.int64) * chunks * CHUNK + c * CHUNK
    steps += table
    sums += table
    rests += table
    states += (program * heads + h).to(tl.int64) * size * state
    products += program.to(tl.int64) * CHUNK * CHUNK
    p = tl.arange(0, COLUMNS)
    row = tile * TILE + tl.arange(0, TILE)
    sum_row = tl.load(sums + row)

    # what the state at the chunk's start gives (forward), or what the slope of its end gives (backward)
    total = tl.zeros([TILE, COLUMNS], tl.float32)
    for start in range(0, state, BLOCK):
        n = start + tl.arange(0, BLOCK)
        direction = _rows(directions, first, sign, row, n, length, state, directions_l)
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
        value = _rows(values, first, sign, column, p, length, size, values_l)
        total = tl.dot(weight.to(value.dtype), value, total, input_precision=PRECISION)
    if BACKWARD:
        total = total * tl.load(steps + row)[:, None]

    own = _rows(values, first, sign, row, p, length, size, values_l)
    total += tl.load(direct + d * heads + h) * own.to(tl.float32)
    inside = (first + sign * row < length)[:, None] & (p < size)[None, :]
    tl.store(out + (sign * row)[:, None] * out_l + p[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _pairs(
    dy, x, B, C, steps, sums, rests, gradient, rows, columns, direct, length, chunks, heads, batch, size, state,
    channels, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    tiles: tl.constexpr = CHUNK // TILE
    program, upper, lower = tl.program_id(0), tl.program_id(1), tl.program_id(2)
    if lower > upper:
        return
    c, db = program % chunks, program // chunks
    first, sign = _first(c, db // batch, CHUNK, AGAINST)
    token = db.to(tl.int64) * length + first
    dy += token * heads * size
    x += token * channels
    table = db.to(tl.int64) * heads * chunks * CHUNK + c * CHUNK
    p = tl.arange(0, COLUMNS)
    row, column = upper * TILE + tl.arange(0, TILE), lower * TILE + tl.arange(0, TILE)
    keep = row[:, None] >= column[None, :]
    spot = program.to(tl.int64) * CHUNK * CHUNK + row[:, None] * CHUNK + column[None, :]
    product = tl.zeros([TILE, TILE], tl.float32)  # again, without the rounding that the results may have
    for block in range(0, state, BLOCK):
        n = block + tl.arange(0, BLOCK)
        one = _rows(C + token * channels, first, sign, row, n, length, state, channels)
        other = _columns(B + token * channels, first, sign, column, n, length, state, channels)
        product = tl.dot(one, other, product, input_precision=PRECISION)
    total = tl.zeros([TILE, TILE], tl.float32)
    for h in range(heads):
        slope = _rows(dy + h * size, first, sign, row, p, length, size, heads * size)
        value = _columns(x + h * size, first, sign, column, p, length, size, channels)
        inner = tl.dot(slope, value, input_precision=PRECISION)
        if upper == lower:
            own = tl.sum(tl.sum(tl.where(row[:, None] == column[None, :], inner, 0.0), axis=1), axis=0)
            tl.store(direct + (program * tiles + upper) * heads + h, own)
        gap = tl.load(sums + table + row)[:, None] - tl.load(sums + table + column)[None, :]
        if EXACT:
            gap += tl.load(rests + table + row)[:, None] - tl.load(rests + table + column)[None, :]
        inner = tl.where(keep, inner * tl.exp(tl.where(keep, gap, 0.0)), 0.0)
        step = tl.load(steps + table + column)
        total += inner * step[None, :]
        inner = inner * product
        if EXACT:
            inner = inner.to(tl.float64)
            step = step.to(tl.float64)
        share = (program * heads + h).to(tl.int64) * tiles * CHUNK
        tl.store(rows + share + lower * CHUNK + row, tl.sum(inner * step[None, :], axis=1))
        tl.store(columns + share + upper * CHUNK + column, tl.sum(inner, axis=0))
        table += chunks * CHUNK
    tl.store(gradient + spot, total.to(gradient.dtype.element_ty))


@triton.jit
def _gather(
    values, states, d_products, steps, sums, rests, one, other, out, scalars, length, chunks, heads, batch, size, state,
    values_l, channels,
    OF_B: tl.constexpr, COLUMNS: tl.constexpr, BLOCK: tl.constexpr, EXACT: tl.constexpr,
    CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr, PRECISION: tl.constexpr,
):  # fmt: skip
    """dC and q from dy and the states, or dB and r / dt from x and the slopes; ``one`` is C or B, ``other`` B or C."""
    tiles: tl.constexpr = CHUNK // TILE
    program, tile = tl.program_id(0), tl.program_id(1)
    c, db = program % chunks, program // chunks
    first, sign = _first(c, db // batch, CHUNK, AGAINST)
    token = db.to(tl.int64) * length + first
    values += token * values_l
    one += token * channels
    other += token * channels
    out += token * channels
    states += program.to(tl.int64) * heads * size * state
    d_products += program.to(tl.int64) * CHUNK * CHUNK
    p = tl.arange(0, COLUMNS)
    n = tl.program_id(2) * BLOCK + tl.arange(0, BLOCK)
    row = tile * TILE + tl.arange(0, TILE)
    direction = _rows(one, first, sign, row, n, length, state, channels).to(tl.float32)
    total = tl.zeros([TILE, BLOCK], tl.float32)
    for h in range(heads):
        value = _rows(values + h * size, first, sign, row, p, length, size, values_l)
        held = tl.load(
            states + h * size * state + p[:, None] * state + n[None, :],
            mask=(p < size)[:, None] & (n < state)[None, :], other=0.0,
        )  # fmt: skip
        rough = held.to(value.dtype)
        product = tl.dot(value, rough, input_precision=PRECISION)
        if not EXACT:
            rest = (held - rough.to(tl.float32)).to(value.dtype)
            product = tl.dot(value, rest, product, input_precision=PRECISION)
        head = db.to(tl.int64) * heads + h
        table = head * chunks * CHUNK + c * CHUNK
        if OF_B:
            gap = tl.load(sums + table + CHUNK - 1) - tl.load(sums + table + row)
            if EXACT:
                gap += tl.load(rests + table + CHUNK - 1) - tl.load(rests + table + row)
            product = product * tl.exp(gap)[:, None]
            total += product * tl.load(steps + table + row)[:, None]
        else:
            product = product * tl.exp(tl.load(sums + table + row))[:, None]
            total += product
        target = scalars + (head * tl.num_programs(2) + tl.program_id(2)) * chunks * CHUNK + c * CHUNK
        tl.store(target + row, tl.sum(product * direction, axis=1))
    for piece in range(tile if OF_B else 0, tiles if OF_B else tile + 1):
        column = piece * TILE + tl.arange(0, TILE)
        if OF_B:
            weight = tl.load(d_products + column[None, :] * CHUNK + row[:, None])
        else:
            weight = tl.load(d_products + row[:, None] * CHUNK + column[None, :])
        toward = _rows(other, first, sign, column, n, length, state, channels)
        total = tl.dot(weight, toward, total, input_precision=PRECISION)
    inside = (first + sign * row < length)[:, None] & (n < state)[None, :]
    tl.store(out + (sign * row)[:, None] * channels + n[None, :], total.to(out.dtype.element_ty), mask=inside)


@triton.jit
def _steps_backward(
    dt, dt_bias, A_log, steps, rows, columns, own, ends, dots, direct, d_dt, parts, length, chunks, heads, batch,
    dt_b, dt_l, d_dt_b, d_dt_l, blocks, areas,
    SCANS: tl.constexpr, CHUNK: tl.constexpr, TILE: tl.constexpr, AGAINST: tl.constexpr,
):  # fmt: skip
    """One head and chunk, in the order of the tokens; the scans share dt, so their slopes are added."""
    tiles: tl.constexpr = CHUNK // TILE
    program, h = tl.program_id(0), tl.program_id(1)
    c, b = program % chunks, program // chunks
    t = tl.arange(0, CHUNK)
    token = c * CHUNK + t
    total = tl.zeros([CHUNK], tl.float64)
    if h < heads:
        raw = tl.load(dt + b.to(tl.int64) * dt_b + token.to(tl.int64) * dt_l + h, mask=token < length, other=0.0)
        for d in tl.static_range(SCANS):
            db = d * batch + b
            head = db * heads + h
            k = t
            if d + AGAINST == 1:
                k = CHUNK - 1 - t
            step = tl.load(steps + head.to(tl.int64) * chunks * CHUNK + c * CHUNK + k)
            d_sum = tl.zeros([CHUNK], tl.float64)
            d_step = tl.zeros([CHUNK], tl.float64)
            weight = 0.0
            for tile in tl.static_range(tiles):
                share = ((db * chunks + c) * heads + h).to(tl.int64) * tiles * CHUNK + tile * CHUNK + k
                row = tl.load(rows + share, mask=k // TILE >= tile, other=0.0)
                column = tl.load(columns + share, mask=k // TILE <= tile, other=0.0)
                d_sum += row.to(tl.float64) - step.to(tl.float64) * column.to(tl.float64)
                d_step += column.to(tl.float64)
                weight += tl.load(direct + ((db * chunks + c) * tiles + tile) * heads + h)
            end = tl.zeros([CHUNK], tl.float64)
            for block in range(blocks):
                place = (head.to(tl.int64) * blocks + block) * chunks * CHUNK + c * CHUNK + k
                d_sum += tl.load(own + place).to(tl.float64)
                end += tl.load(ends + place).to(tl.float64)
            d_step += end
            end = step.to(tl.float64) * end
            d_sum -= end
            last = tl.sum(end, axis=0)
            for area in range(areas):
                last += tl.load(dots + (head * areas + area) * chunks + c).to(tl.float64)
            before = tl.cumsum(d_sum, axis=0)
            d_rate = before + last
            if d + AGAINST == 0:
                d_rate = tl.sum(d_sum, axis=0) - before + d_sum + last
            rate = -tl.exp(tl.load(A_log + d * heads + h).to(tl.float64))
            _, slope = _step(raw, tl.load(dt_bias + d * heads + h))
            d_raw = tl.where(token < length, (d_step + d_rate * rate) * slope, 0.0)
            total += d_raw
            target = parts + (program * 3 * SCANS + d) * heads + h
            tl.store(target, tl.sum(d_raw, axis=0).to(tl.float32))
            tl.store(target + SCANS * heads, (tl.sum(d_rate * step.to(tl.float64), axis=0) * rate).to(tl.float32))
            tl.store(target + 2 * SCANS * heads, weight)
    target = d_dt + b.to(tl.int64) * d_dt_b + token.to(tl.int64) * d_dt_l + h
    tl.store(target, total.to(tl.float32).to(d_dt.dtype.element_ty), mask=token < length)
