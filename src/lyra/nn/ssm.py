"""Mamba-2: a selective state-space scan in both directions.

The recurrence of one head (Dao & Gu 2024, "Transformers are SSMs", section 6):

    S_l = exp(dt_l A) S_{l-1} + dt_l x_l B_l^T,     y_l = S_l C_l + D x_l,     S before the first token is 0

``recurrent_scan`` is this line by line, ``chunked_scan`` the same sum arranged as matrix products, both in plain torch.
On a GPU with Triton both scans run as fused kernels, with what lies around them (``mixer_triton``).
"""

import math
from functools import cache
from importlib.util import find_spec

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.nn.precision import full_precision

CHUNKS_PER_SEGMENT = 128
"""Chunks handled at once: bounds memory (and the quadratic part over chunks) for sequences of any length."""


def recurrent_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor) -> Tensor:
    """The scan token by token: the specification that ``chunked_scan`` is tested against.

    Args:
        x: [b, l, heads, p] values.
        dt: [b, l, heads] positive step sizes.
        A: [heads] negative decay rates.
        B, C: [b, l, n] input and output directions of the state, shared by the heads.
        D: [heads] weight of the direct path.

    Returns:
        [b, l, heads, p].
    """
    batch, length, heads, size = x.shape
    state = x.new_zeros(batch, heads, size, B.shape[-1])
    outputs = []
    for step in range(length):
        decay = torch.exp(dt[:, step] * A)[..., None, None]
        update = (dt[:, step, :, None] * x[:, step])[..., None] * B[:, step, None, None, :]
        state = decay * state + update
        outputs.append((state * C[:, step, None, None, :]).sum(-1) + D[:, None] * x[:, step])
    return torch.stack(outputs, dim=1)


def chunked_scan(x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, D: Tensor, chunk: int) -> Tensor:
    """The scan as matrix products inside chunks and a short recurrence over chunks; any length.

    Arguments and result as in ``recurrent_scan``. Decays and running states are float32 (or wider, if the
    inputs are); the products run in the dtype of ``x``. ``chunk`` changes rounding only.
    """
    length = x.shape[1]
    wide = torch.promote_types(dt.dtype, torch.float32)
    dt, A = dt.to(wide), A.to(wide)
    state = x.new_zeros(x.shape[0], x.shape[2], x.shape[3], B.shape[-1], dtype=wide)
    outputs = []
    with full_precision(x.device):
        for start in range(0, length, chunk * CHUNKS_PER_SEGMENT):
            part = slice(start, start + chunk * CHUNKS_PER_SEGMENT)
            y, state = scan_segment(x[:, part], dt[:, part], A, B[:, part], C[:, part], state, chunk)
            outputs.append(y)
    y = torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0]
    return y + D.to(x.dtype)[:, None] * x


def scan_segment(
    x: Tensor, dt: Tensor, A: Tensor, B: Tensor, C: Tensor, state: Tensor, chunk: int
) -> tuple[Tensor, Tensor]:
    """Scan some chunks from ``state`` [b, heads, p, n]; returns y [b, l, heads, p] and the state after them."""
    batch, length, heads, size = x.shape
    missing = -length % chunk
    if missing:  # a step of size zero neither decays nor writes
        x = F.pad(x, (0, 0, 0, 0, 0, missing))
        dt = F.pad(dt, (0, 0, 0, missing))
        B, C = F.pad(B, (0, 0, 0, missing)), F.pad(C, (0, 0, 0, missing))
    x, dt, B, C = (value.unflatten(1, (-1, chunk)) for value in (x, dt, B, C))  # [b, c, k, ...]
    log_decay = torch.cumsum(dt * A, dim=2)  # [b, c, k, heads], from the start of the chunk
    x = (x * dt[..., None]).to(B.dtype)

    # Inside a chunk: y_i = sum_{j <= i} exp(decay from j to i) (C_i . B_j) x_j.
    by_head = log_decay.permute(0, 1, 3, 2)
    gap = by_head[..., :, None] - by_head[..., None, :]
    future = torch.ones(chunk, chunk, dtype=torch.bool, device=x.device).triu(1)
    weight = torch.exp(gap.masked_fill(future, -math.inf)).to(x.dtype)
    weight = weight * (C @ B.mT)[:, :, None]  # [b, c, heads, i, j]
    y = (weight @ x.permute(0, 1, 3, 2, 4)).permute(0, 1, 3, 2, 4)  # [b, c, k, heads, p]

    # What each chunk adds to the state by its end, and the state at each chunk's start.
    total = log_decay[:, :, -1]  # [b, c, heads]
    to_end = torch.exp(total[:, :, None] - log_decay)[..., None].to(x.dtype)
    added = ((x * to_end).flatten(-2).mT @ B).unflatten(2, (heads, size))  # [b, c, heads, p, n]
    starts = torch.cat([state[:, None], added.to(state.dtype)], dim=1)  # [b, 1 + c, heads, p, n]
    spread = torch.exp(_segment_sums(F.pad(total, (0, 0, 1, 0)).permute(0, 2, 1)))  # [b, heads, 1 + c, 1 + c]
    starts = (spread @ starts.permute(0, 2, 1, 3, 4).flatten(-2)).unflatten(-1, (size, -1))
    state = starts[:, :, -1]
    before = starts[:, :, :-1].permute(0, 2, 1, 3, 4).flatten(2, 3).to(x.dtype)  # [b, c, heads * p, n]
    y = y + (C @ before.mT).unflatten(-1, (heads, size)) * torch.exp(log_decay)[..., None].to(x.dtype)
    return y.flatten(1, 2)[:, :length], state


def _segment_sums(values: Tensor) -> Tensor:
    """[..., n] to [..., n, n]: entry (i, j) is the sum of values j+1 … i, -inf where j > i.

    Summed afresh for every j instead of as a difference of running sums, which would cancel.
    """
    size = values.shape[-1]
    below = torch.ones(size, size, dtype=torch.bool, device=values.device).tril(-1)
    sums = torch.cumsum(values[..., :, None].expand(*values.shape, size).masked_fill(~below, 0.0), dim=-2)
    return sums.masked_fill(below.mT, -math.inf)


@cache
def _has_triton() -> bool:
    return find_spec("triton") is not None


def runs_fused(tokens: Tensor) -> bool:
    """Whether the fused kernels take these tokens: on a GPU, with Triton, at most float32."""
    return tokens.is_cuda and tokens.dtype in (torch.float32, torch.bfloat16, torch.float16) and _has_triton()


class Mamba2Scan(nn.Module):
    """One direction in plain torch: depthwise causal convolution, selective scan, gate, norm. No projections.

    Args:
        inner: channels of x and z, heads x head size.
        state: size of the state per channel.
        head: head size.
        conv: kernel length of the causal convolution.
        chunk: chunk length of the scan.
    """

    def __init__(self, inner: int, state: int, head: int, conv: int, chunk: int) -> None:
        super().__init__()
        heads = inner // head
        self.inner, self.state, self.head, self.chunk = inner, state, head, chunk
        self.conv1d = nn.Conv1d(inner + 2 * state, inner + 2 * state, conv, padding=conv - 1, groups=inner + 2 * state)
        step = torch.exp(torch.empty(heads).uniform_(math.log(1e-3), math.log(1e-1))).clamp(min=1e-4)
        self.dt_bias = nn.Parameter(step + torch.log(-torch.expm1(-step)))  # softplus(dt_bias) = step
        self.A_log = nn.Parameter(torch.log(torch.empty(heads).uniform_(1, 16)))
        self.D = nn.Parameter(torch.ones(heads))
        self.norm = nn.RMSNorm(inner, eps=1e-5)

    def forward(self, z: Tensor, xBC: Tensor, dt: Tensor, reverse: bool = False) -> Tensor:
        """Mix the tokens; with ``reverse`` from the last to the first, as if all were flipped before and after.

        Args:
            z: [b, l, inner] gate.
            xBC: [b, l, inner + 2 state] values and directions.
            dt: [b, l, heads] raw steps.
            reverse: direction of the scan.

        Returns:
            [b, l, inner].
        """
        return self.norm(self._mix(xBC, dt, reverse).flatten(-2) * F.silu(z))

    def _mix(self, xBC: Tensor, dt: Tensor, reverse: bool) -> Tensor:
        if reverse:
            return self._mix(xBC.flip(1), dt.flip(1), reverse=False).flip(1)
        xBC = F.silu(self.conv1d(xBC.mT)[..., : xBC.shape[1]].mT)
        x, B, C = xBC.split((self.inner, self.state, self.state), dim=-1)
        return chunked_scan(x.unflatten(-1, (-1, self.head)), *self.steps(dt), B, C, self.D, self.chunk)

    def parameters_in_order(self) -> tuple[Tensor, ...]:
        """As ``mixer_triton.fused_mixer`` takes them."""
        assert self.conv1d.bias is not None
        return self.conv1d.weight, self.conv1d.bias, self.dt_bias, self.A_log, self.D, self.norm.weight

    def steps(self, dt: Tensor) -> tuple[Tensor, Tensor]:
        """Positive steps and negative rates in float32, or wider if the raw steps are."""
        wide = torch.promote_types(dt.dtype, torch.float32)
        return F.softplus(dt.to(wide) + self.dt_bias.to(wide)), -torch.exp(self.A_log.to(wide))


class BidirectionalMamba2(nn.Module):
    """Two scans with their own parameters, one along the sequence and one against it, added.

    One input projection, shared by both directions, gives z, x, B, C and dt in this channel order.
    """

    def __init__(
        self, width: int, state: int = 256, head: int = 64, expand: int = 2, conv: int = 4, chunk: int = 256
    ) -> None:
        super().__init__()
        inner = expand * width
        if inner % head:
            raise ValueError(f"BidirectionalMamba2: {expand} x width {width} is not a multiple of head size {head}")
        self.sizes = (inner, inner + 2 * state, inner // head)
        self.in_proj = nn.Linear(width, sum(self.sizes), bias=False)
        self.scans = nn.ModuleList(Mamba2Scan(inner, state, head, conv, chunk) for _ in range(2))
        self.out_proj = nn.Linear(inner, width, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]."""
        z, xBC, dt = self.in_proj(x).split(self.sizes, dim=-1)
        forth = self.scans[0](z, xBC, dt)
        back = self.scans[1](z, xBC, dt, reverse=True)
        return self.out_proj(forth + back)

    def fused(self, x: Tensor, norm: nn.RMSNorm) -> Tensor:
        """``self(norm(x))`` with the kernels for GPUs."""
        from lyra.nn.mixer_triton import MixerSizes, fused_mixer, project

        one, other = self.scans
        assert isinstance(one, Mamba2Scan) and isinstance(other, Mamba2Scan) and norm.eps and one.norm.eps
        parameters = list(zip(one.parameters_in_order(), other.parameters_in_order(), strict=True))
        sizes = MixerSizes(one.inner, one.state, one.head, one.norm.eps)
        return self.out_proj(fused_mixer(project(x, norm.weight, norm.eps, self.in_proj.weight), parameters, sizes))


class MambaBlock(nn.Module):
    """x += BidirectionalMamba2(RMSNorm(x)); no feed-forward part."""

    def __init__(
        self, width: int, state: int = 256, head: int = 64, expand: int = 2, conv: int = 4, chunk: int = 256
    ) -> None:
        super().__init__()
        self.norm = nn.RMSNorm(width, eps=1e-5)
        self.mamba = BidirectionalMamba2(width, state, head, expand, conv, chunk)

    def zero_init_residual(self) -> None:
        """Make the block the identity: the output projection becomes zero."""
        nn.init.zeros_(self.mamba.out_proj.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]."""
        return x + (self.mamba.fused(x, self.norm) if runs_fused(x) else self.mamba(self.norm(x)))
