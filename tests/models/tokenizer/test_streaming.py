"""A clip in pieces is coded as it is at once."""

import pytest
import torch

from lyra.models.tokenizer import CosmosTokenizer, CosmosTokenizerConfig


@pytest.fixture(scope="module")
def net() -> CosmosTokenizer:
    torch.manual_seed(0)
    config = CosmosTokenizerConfig(4, (8, 16, 16, 16), (16, 16, 16, 16), 1, 4)
    return CosmosTokenizer(config).eval().double()


@torch.no_grad()
@pytest.mark.parametrize("together", [1, 2, 3, 9])
def test_both_directions(net: CosmosTokenizer, together: int) -> None:
    clip = torch.rand(1, 3, 25, 32, 48, generator=torch.Generator().manual_seed(1)).double()
    net.together = None
    z = net.encode(clip)
    back = net.decode(z)
    net.together = together
    torch.testing.assert_close(net.encode(clip), z, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(net.encode(clip[:, :, :1]), z[:, :, :1], rtol=1e-10, atol=1e-10)
    pieces = list(net.decode_pieces(z))
    assert len(pieces) == -(-4 // together) and pieces[0].shape[2] == min(25, 8 * together - 7)
    torch.testing.assert_close(torch.cat(pieces, dim=2), back, rtol=1e-10, atol=1e-10)
    net.together = None
    torch.testing.assert_close(net.encode(clip), z, rtol=0, atol=0), "nothing is left behind"


def test_a_broken_stream_leaves_the_network_as_it_was(net: CosmosTokenizer) -> None:
    z = torch.randn(1, 4, 3, 4, 6).double()
    net.together = None
    whole = net.decode(z)
    net.together = 1
    next(net.decode_pieces(z))
    net.together = None
    torch.testing.assert_close(net.decode(z), whole)
