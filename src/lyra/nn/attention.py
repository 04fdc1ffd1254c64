"""Bidirectional softmax attention and the transformer block around it."""

import torch.nn.functional as F
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head self-attention over all tokens, scaled by 1/sqrt(head size), no positions.

    ``qkv`` holds the rows of q, k and v in this order, inside each heads x head size.
    """

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        if width % heads:
            raise ValueError(f"Attention: width {width} is not a multiple of {heads} heads")
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]; those where ``mask`` [B, N] bool is false are not attended to."""
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)
        mixed = F.scaled_dot_product_attention(q, k, v, None if mask is None else mask[:, None, None])
        return self.proj(mixed.transpose(1, 2).flatten(-2))


class Mlp(nn.Module):
    """Linear, exact GELU, Linear; token-wise."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., D] to [..., D]."""
        return self.fc2(F.gelu(self.fc1(x)))


class TransformerBlock(nn.Module):
    """Pre-norm block: x += Attention(LayerNorm(x)); x += Mlp(LayerNorm(x))."""

    def __init__(self, width: int, heads: int, mlp_ratio: float = 4.0, eps: float = 1e-6) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width, eps=eps)
        self.attn = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width, eps=eps)
        self.mlp = Mlp(width, int(width * mlp_ratio))

    def zero_init_residual(self) -> None:
        """Make the block the identity: the last linear of both branches becomes zero."""
        for linear in (self.attn.proj, self.mlp.fc2):
            nn.init.zeros_(linear.weight)
            nn.init.zeros_(linear.bias)

    def forward(self, x: Tensor, mask: Tensor | None = None) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]; those where ``mask`` [B, N] bool is false are not attended to."""
        x = x + self.attn(self.norm1(x), mask)
        return x + self.mlp(self.norm2(x))
