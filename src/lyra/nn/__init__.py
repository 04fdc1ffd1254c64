"""Blocks that two or more networks use, or that are worth testing alone; in plain torch, and fused where it pays."""

from lyra.nn.attention import Attention, Mlp, TransformerBlock
from lyra.nn.attention_kernel import fast_attention
from lyra.nn.patch_embed import PatchEmbed3d
from lyra.nn.precision import full_precision, processor_has_bfloat16, reduced_precision, uses_bfloat16
from lyra.nn.side_by_side import side_by_side
from lyra.nn.ssm import BidirectionalMamba2, MambaBlock, chunked_scan, recurrent_scan

__all__ = [
    "Attention",
    "BidirectionalMamba2",
    "MambaBlock",
    "Mlp",
    "PatchEmbed3d",
    "TransformerBlock",
    "chunked_scan",
    "fast_attention",
    "full_precision",
    "processor_has_bfloat16",
    "recurrent_scan",
    "reduced_precision",
    "side_by_side",
    "uses_bfloat16",
]
