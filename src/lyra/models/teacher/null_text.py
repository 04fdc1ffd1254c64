"""The teacher without its cross-attention, for the zero text: the same numbers for less work and memory.

Keys and values have no bias, so zero tokens have zero values, and what the cross-attention adds to the stream is
exactly zero whatever its queries are. The whole sub-block, a seventh of the large matrices, can go.
"""

from torch import Tensor, nn

from lyra.models.teacher.model import Teacher

PARTS = ("norm2", "attn2")
"""Modules of a block that only the text reaches."""


class _Untouched(nn.Module):
    """In place of the modulated norm before the attention: the input, and a gate that lets nothing through."""

    def forward(self, hidden: Tensor, *unused: Tensor) -> tuple[Tensor, Tensor]:
        return hidden, hidden.new_zeros(())


class _Nothing(nn.Module):
    """In place of the attention: zero."""

    def forward(self, hidden: Tensor, **unused: Tensor | None) -> Tensor:
        return hidden.new_zeros(())


def drop_text(teacher: Teacher) -> None:
    """Remove the cross-attention of every block with its weights, in place; from then on any text counts as zero."""
    for block in teacher.backbone.transformer_blocks:
        block.norm2, block.attn2 = _Untouched(), _Nothing()


def serves_text(name: str) -> bool:
    """Whether a tensor of ``Teacher.state_dict()`` is one that `drop_text` removes."""
    return name.startswith("backbone.transformer_blocks.") and name.split(".")[3] in PARTS
