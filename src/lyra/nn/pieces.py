"""The two kinds of trunk block on long sequences, a piece of the tokens at a time: the same result in less memory.

What a block computes token by token is done piece by piece; a scan hands its state from piece to piece. Only softmax
attention needs all keys and values at once. For inference: nothing is kept for a backward pass.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.nn.attention import TransformerBlock
from lyra.nn.precision import full_precision
from lyra.nn.ssm import BidirectionalMamba2, Mamba2Scan, MambaBlock, scan_segment


@torch.no_grad()
def block_in_pieces(block: MambaBlock | TransformerBlock, x: Tensor, together: int) -> Tensor:
    """``block(x)`` for tokens [B, N, D], ``together`` tokens at a time."""
    if isinstance(block, MambaBlock):
        return _mixed(block, x, together)
    x = x + block.attn(block.norm1(x))
    return torch.cat([part + block.mlp(block.norm2(part)) for part in x.split(together, dim=1)], dim=1)


def _mixed(block: MambaBlock, x: Tensor, together: int) -> Tensor:
    mixer: BidirectionalMamba2 = block.mamba
    inner = mixer.sizes[0]
    total = x.new_zeros(*x.shape[:2], inner)
    starts = range(0, x.shape[1], together)
    for scan, backwards in zip(mixer.scans, (False, True), strict=True):
        assert isinstance(scan, Mamba2Scan)
        state, tail = None, None
        for start in reversed(starts) if backwards else starts:
            part = block.norm(x[:, start : start + together])
            if backwards:
                part = part.flip(1)
            z, xBC, dt = mixer.in_proj(part).split(mixer.sizes, dim=-1)
            y, state, tail = _scan_piece(scan, z, xBC, dt, state, tail)
            total[:, start : start + together] += y.flip(1) if backwards else y
    parts = zip(x.split(together, dim=1), total.split(together, dim=1), strict=True)
    return torch.cat([part + mixer.out_proj(y) for part, y in parts], dim=1)


def _scan_piece(
    scan: Mamba2Scan, z: Tensor, xBC: Tensor, dt: Tensor, state: Tensor | None, tail: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """`Mamba2Scan.forward` of a piece that follows others; also the state after it and the inputs it leaves behind."""
    taps = scan.conv1d.kernel_size[0]
    if tail is None:
        tail = xBC.new_zeros(xBC.shape[0], taps - 1, xBC.shape[2])
    joined = torch.cat([tail, xBC], dim=1)
    mixed = F.conv1d(joined.mT, scan.conv1d.weight, scan.conv1d.bias, groups=scan.conv1d.groups).mT
    x, B, C = F.silu(mixed).split((scan.inner, scan.state, scan.state), dim=-1)
    step, rate = scan.steps(dt)
    x = x.unflatten(-1, (-1, scan.head))
    if state is None:
        state = x.new_zeros(x.shape[0], x.shape[2], x.shape[3], scan.state, dtype=step.dtype)
    with full_precision(x.device):
        y, state = scan_segment(x, step, rate, B, C, state, scan.chunk)
    y = y + scan.D.to(x.dtype)[:, None] * x
    return scan.norm(y.flatten(-2) * F.silu(z)), state, joined[:, joined.shape[1] - taps + 1 :]
