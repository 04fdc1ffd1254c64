import pytest
import torch

from lyra.models.decoder.trunk import Trunk


@pytest.mark.parametrize("attention_every", [1, 2])
def test_trunk_is_one_graph_for_the_compiler(build, attention_every):
    torch.manual_seed(0)
    trunk = Trunk(build.nano_config(attention_every=attention_every, ssm_state=4, ssm_head=8, ssm_chunk=8))
    tokens = torch.randn(1, 20, 24)
    compiled = torch.compile(trunk, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(tokens), trunk(tokens))


def test_block_kinds_follow_attention_every(build):
    config = build.official_config(depth=6, attention_every=3)
    kinds = [type(block).__name__ for block in Trunk(config).blocks]
    assert kinds == ["MambaBlock", "MambaBlock", "TransformerBlock"] * 2
