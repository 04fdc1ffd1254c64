"""One clip on several GPUs: every process takes some of its tokens, attention some of the heads (Ulysses).

Tokens lie frame after frame, so with 2, 4, 8 or 16 processes each has whole latent frames. Between two steps every
process holds the whole state: the sampler needs no change. (Jacobs et al. 2023, arXiv 2309.14509.)
"""

from typing import Any

import torch
import torch.distributed as dist
from diffusers import ContextParallelConfig, ParallelConfig
from diffusers.hooks import apply_context_parallel
from diffusers.models._modeling_parallel import ContextParallelInput, ContextParallelOutput
from diffusers.models.attention_dispatch import dispatch_attention_fn
from diffusers.models.attention_processor import Attention
from diffusers.models.embeddings import apply_rotary_emb
from torch import Tensor
from torch.distributed.device_mesh import init_device_mesh

from lyra.models.teacher.model import Teacher
from lyra.structures import InputError


class SharedAttention:
    """Self-attention of the library's block whose heads are shared out; see `share_clip`."""

    def __init__(self, sharing: ParallelConfig) -> None:
        self.sharing = sharing

    def __call__(
        self, attn: Attention, hidden_states: Tensor, image_rotary_emb: tuple[Tensor, Tensor], **unused: Any
    ) -> Tensor:
        """Map tokens [B, N, D] of this process to [B, N, D]; ``image_rotary_emb`` are theirs, [N, head size]."""
        query, key, value = (
            project(hidden_states).unflatten(2, (attn.heads, -1)) for project in (attn.to_q, attn.to_k, attn.to_v)
        )
        query, key = (
            apply_rotary_emb(
                norm(values).transpose(1, 2), image_rotary_emb, use_real=True, use_real_unbind_dim=-2
            ).transpose(1, 2)
            for values, norm in ((query, attn.norm_q), (key, attn.norm_k))
        )
        mixed = dispatch_attention_fn(query, key, value, parallel_config=self.sharing)
        return attn.to_out[1](attn.to_out[0](mixed.flatten(2, 3).type_as(query)))


def require_equal_shares(processes: int, tokens: int, heads: int) -> None:
    """Refuse a number of processes that cannot share a clip of so many tokens, and so many heads, equally.

    Raises:
        InputError: so.
    """
    if tokens % processes or heads % processes:
        raise InputError(
            f"{processes} processes cannot share {tokens} tokens and {heads} heads equally; start a number of them "
            "that divides both"
        )


def share_clip(teacher: Teacher, processes: int, device: torch.device) -> None:
    """Let ``processes`` processes compute every pass together, in place; all must have joined, with the same weights.

    Args:
        teacher: its weights may lie elsewhere, see `stream_blocks`.
        processes: how many; see `require_equal_shares`.
        device: where this process computes.
    """
    # the library's own door to this asks for an accelerator
    split = ContextParallelConfig(ulysses_degree=processes)
    sharing = ParallelConfig(context_parallel_config=split)
    mesh = init_device_mesh(device.type, split.mesh_shape, mesh_dim_names=split.mesh_dim_names)
    sharing.setup(dist.get_rank(), dist.get_world_size(), device, mesh=mesh)
    for block in teacher.backbone.transformer_blocks:
        block.attn1.set_processor(SharedAttention(sharing))
    rotation = ContextParallelInput(split_dim=0, expected_dims=2, split_output=True)
    plan: dict[str, Any] = {
        "rope": {0: rotation, 1: rotation},
        "transformer_blocks.0": {"hidden_states": ContextParallelInput(split_dim=1, expected_dims=3)},
        "proj_out": ContextParallelOutput(gather_dim=1, expected_dims=3),
    }
    if teacher.config.learnable_positions:
        plan["learnable_pos_embed"] = {0: ContextParallelInput(split_dim=1, expected_dims=3, split_output=True)}
    apply_context_parallel(teacher.backbone, split, plan)
