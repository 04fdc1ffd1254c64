"""The Cosmos backbone with small intermediate values: the same numbers, computed for some heads or tokens at a time.

On 56,320 tokens the library's block holds up to fourteen tensors of the size of its input at once: four of them are
float32 copies for the rotation of queries and keys, eight the widened MLP. Here both pass in parts.
"""

from typing import Any

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor, nn

HEADS_TOGETHER = 4
PARTS_OF_MLP = 8


def make_lean(backbone: nn.Module, parts: int = PARTS_OF_MLP, heads: int = HEADS_TOGETHER) -> None:
    """Let every block of a ``CosmosTransformer3DModel`` compute in parts, in place.

    Args:
        backbone: the network.
        parts: pieces of the tokens in the MLP.
        heads: heads that are normalised and rotated at once.
    """
    for block in backbone.get_submodule("transformer_blocks").children():
        block.attn1.set_processor(LeanAttention(heads))  # type: ignore[operator,union-attr]
        block.ff = MlpInParts(block.ff, parts)  # type: ignore[arg-type]


class MlpInParts(nn.Module):
    """A token-wise network, some of the tokens at a time."""

    def __init__(self, inner: nn.Module, parts: int) -> None:
        super().__init__()
        self.inner = inner
        self.parts = parts

    def forward(self, x: Tensor) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]."""
        result = torch.empty_like(x)
        for source, target in zip(x.chunk(self.parts, dim=1), result.chunk(self.parts, dim=1), strict=True):
            target.copy_(self.inner(source))
        return result


class LeanAttention:
    """Self-attention whose queries and keys are normalised and rotated a few heads at a time, in place."""

    def __init__(self, heads: int) -> None:
        self.heads = heads

    def __call__(
        self, attn: Attention, hidden_states: Tensor, image_rotary_emb: tuple[Tensor, Tensor], **unused: Any
    ) -> Tensor:
        """Map tokens [B, N, D] to [B, N, D]; ``image_rotary_emb`` holds cosines and sines [N, head size]."""
        # [B, heads, N, head size]
        query, key, value = (
            project(hidden_states).unflatten(2, (attn.heads, -1)).transpose(1, 2)
            for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        for values, norm in ((query, attn.norm_q), (key, attn.norm_k)):
            for part in values.split(self.heads, dim=1):
                turned = apply_rotary_emb(norm(part), image_rotary_emb, use_real=True, use_real_unbind_dim=-2)
                part.copy_(turned)
        mixed = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2, 3).type_as(query)
        return attn.to_out[1](attn.to_out[0](mixed))
