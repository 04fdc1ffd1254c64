"""Blocks on pieces of the tokens give what they give on all of them."""

import pytest
import torch

from lyra.nn import MambaBlock, TransformerBlock
from lyra.nn.pieces import block_in_pieces


@pytest.mark.parametrize("together", [1, 7, 16, 53, 100])
@torch.no_grad()
def test_pieces_of_any_length(together: int) -> None:
    torch.manual_seed(0)
    x = torch.randn(2, 53, 16, dtype=torch.float64)
    for block in (MambaBlock(16, state=8, head=8, chunk=5), TransformerBlock(16, 2)):
        block = block.double()
        for parameter in block.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
        torch.testing.assert_close(block_in_pieces(block, x, together), block(x), rtol=1e-9, atol=1e-9)


def test_state_and_convolution_reach_over_pieces() -> None:
    torch.manual_seed(0)
    block = MambaBlock(16, state=8, head=8, chunk=4)
    x = torch.randn(1, 12, 16)
    alone = torch.cat([block_in_pieces(block, part, 99) for part in x.split(4, dim=1)], dim=1)
    assert (alone - block_in_pieces(block, x, 4)).abs().max() > 1e-3
