"""The token mixer: attention and Mamba-2 blocks over the tokens of all views."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from lyra.models.decoder.config import DecoderConfig
from lyra.nn import MambaBlock, TransformerBlock
from lyra.nn.pieces import block_in_pieces


class Trunk(nn.Module):
    """A sequence of blocks and a last LayerNorm (eps 1e-6); safe to compile on its own.

    Attributes:
        together: tokens that pass at once where no gradient is wanted, None for all: less memory, the same result.
        replay: does what ``mix`` does where gradients are wanted, None for ``mix`` itself; set while a training step
            runs the network.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.checkpoint_blocks = config.checkpoint_blocks
        self.together: int | None = None
        self.replay: Callable[[Tensor], Tensor] | None = None
        self.blocks = nn.ModuleList(self._block(config, index) for index in range(config.depth))
        self.norm = nn.LayerNorm(config.width, eps=1e-6)

    @staticmethod
    def _block(config: DecoderConfig, index: int) -> nn.Module:
        if config.is_attention(index):
            return TransformerBlock(config.width, config.heads, config.mlp_ratio)
        return MambaBlock(
            config.width, config.ssm_state, config.ssm_head, config.ssm_expand, config.ssm_conv, config.ssm_chunk
        )

    def zero_init_residual(self) -> None:
        """Start every block as the identity."""
        for block in self.blocks:
            assert isinstance(block, TransformerBlock | MambaBlock)
            block.zero_init_residual()

    def forward(self, tokens: Tensor) -> Tensor:
        """Map [B, V N, D], views one after the other, to [B, V N, D]."""
        if self.replay is not None and torch.is_grad_enabled():
            return self.replay(tokens)
        return self.mix(tokens)

    def mix(self, tokens: Tensor) -> Tensor:
        """As `forward`, always here and now."""
        for block in self.blocks:
            if self.together is not None and not torch.is_grad_enabled():
                assert isinstance(block, TransformerBlock | MambaBlock)
                tokens = block_in_pieces(block, tokens, self.together)
            elif self.checkpoint_blocks and self.training:
                tokens = checkpoint(block, tokens, use_reentrant=False)
            else:
                tokens = block(tokens)
        mixed: Tensor = self.norm(tokens)
        return mixed
