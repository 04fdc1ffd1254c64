"""Ways to make the teacher faster: compiled blocks leave the result, 8-bit products and reused blocks change it."""

import shutil
from contextlib import AbstractContextManager
from importlib.util import find_spec

import torch
from diffusers import CacheMixin
from diffusers.hooks import FirstBlockCacheConfig, HookRegistry, apply_first_block_cache
from diffusers.hooks._helpers import TransformerBlockMetadata, TransformerBlockRegistry
from diffusers.models.transformers.transformer_cosmos import CosmosTransformerBlock
from torch import Tensor, nn

from lyra.models.teacher.model import Teacher

FLOAT8 = torch.float8_e4m3fn
_LARGEST = torch.finfo(FLOAT8).max
LARGE = ("attn1.to_q", "attn1.to_k", "attn1.to_v", "attn1.to_out.0", "ff.net.0.proj", "ff.net.2")
"""Linear layers of a block that are worth it; what modulates, and what reads the text, keeps its precision."""


def compile_blocks(teacher: Teacher) -> None:
    """Compile every transformer block, in place: one compilation serves all, they are alike."""
    for block in teacher.backbone.transformer_blocks:
        block.compile()


def reuse_blocks(teacher: Teacher, threshold: float) -> None:
    """Skip all blocks but the first where what the first one changes moved by less than ``threshold``, in place.

    What the others added in the last full pass is added again (first-block cache). Each side of the guidance has its
    own memory: call the teacher inside `side`, and `forget` before every clip.
    """
    TransformerBlockRegistry.register(CosmosTransformerBlock, TransformerBlockMetadata(return_hidden_states_index=0))
    apply_first_block_cache(teacher.backbone, FirstBlockCacheConfig(threshold=threshold))


def side(teacher: Teacher, name: str) -> AbstractContextManager[None]:
    """Inside, reused blocks are those of one side of the guidance."""
    return CacheMixin.cache_context(teacher.backbone, name)


def forget(teacher: Teacher) -> None:
    """Drop what `reuse_blocks` remembers."""
    HookRegistry.check_if_exists_or_initialize(teacher.backbone).reset_stateful_hooks()


class Float8Linear(nn.Module):
    """A linear layer without bias whose product runs on 8-bit numbers, scaled per token and per output channel."""

    weight: Tensor
    scale: Tensor

    def __init__(self, linear: nn.Module) -> None:
        super().__init__()
        assert isinstance(linear, nn.Linear) and linear.bias is None
        weight, scale = to_float8(linear.weight.detach())
        self.register_buffer("weight", weight)  # [out, in]
        self.register_buffer("scale", scale)  # [out, 1]

    def forward(self, x: Tensor) -> Tensor:
        """Map [..., in] to [..., out] in the type of ``x`` (bfloat16)."""
        rows, scale = to_float8(x.flatten(0, -2))
        product = torch._scaled_mm(
            rows, self.weight.T, scale_a=scale, scale_b=self.scale.T, out_dtype=torch.bfloat16, use_fast_accum=True
        )
        return product.to(x.dtype).unflatten(0, x.shape[:-1])


def to_float8(values: Tensor) -> tuple[Tensor, Tensor]:
    """Rows [n, k] as 8-bit numbers and their scales [n, 1] float32: values = numbers * scale, up to rounding."""
    scale = values.abs().amax(dim=1, keepdim=True).float().clamp(min=1e-12) / _LARGEST
    return (values.float() / scale).clamp(-_LARGEST, _LARGEST).to(FLOAT8), scale


def multiply_in_8_bits(teacher: Teacher) -> None:
    """Replace the large linear layers of every block, in place: projections of self-attention and the MLP."""
    for block in teacher.backbone.transformer_blocks:
        for name in LARGE:
            owner, _, attribute = name.rpartition(".")
            setattr(block.get_submodule(owner), attribute, Float8Linear(block.get_submodule(name)))


def stored_in_8_bits(name: str, tensor: Tensor) -> dict[str, Tensor]:
    """What the network of `multiply_in_8_bits` stores for a tensor of the plain one, by name."""
    prefix, _, rest = name.removesuffix(".weight").removeprefix("backbone.").partition(".")
    if prefix != "transformer_blocks" or rest.partition(".")[2] not in LARGE:
        return {name: tensor}
    numbers, scale = to_float8(tensor)
    return {name: numbers, f"{name.removesuffix('weight')}scale": scale}


def can_be_fast(device: torch.device) -> bool:
    """Whether a device multiplies 8-bit numbers, and this computer can compile for it."""
    if device.type != "cuda" or torch.cuda.get_device_capability(device) < (8, 9):
        return False
    return find_spec("triton") is not None and any(shutil.which(name) for name in ("cc", "gcc", "clang"))
