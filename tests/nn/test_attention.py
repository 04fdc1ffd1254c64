import pytest
import torch

from lyra.nn import Attention, Mlp, PatchEmbed3d, TransformerBlock


def test_attention_is_the_softmax_formula_with_rows_q_k_v():
    torch.manual_seed(0)
    width, heads, tokens = 12, 3, 5
    attention = Attention(width, heads).double()
    x = torch.randn(2, tokens, width, dtype=torch.float64)
    projected = x @ attention.qkv.weight.T + attention.qkv.bias
    out = torch.empty_like(x)
    for head in range(heads):
        rows = slice(4 * head, 4 * head + 4)
        q, k, v = (projected[..., part * width : (part + 1) * width][..., rows] for part in range(3))
        weight = torch.softmax(torch.einsum("bid,bjd->bij", q, k) / 2, dim=-1)
        out[..., rows] = torch.einsum("bij,bjd->bid", weight, v)
    expected = out @ attention.proj.weight.T + attention.proj.bias
    torch.testing.assert_close(attention(x), expected, rtol=1e-10, atol=1e-10)


def test_mlp_uses_the_exact_gelu():
    torch.manual_seed(0)
    mlp = Mlp(4, 16).double()
    x = torch.randn(3, 4, dtype=torch.float64)
    hidden = x @ mlp.fc1.weight.T + mlp.fc1.bias
    hidden = hidden * 0.5 * (1 + torch.erf(hidden / 2**0.5))
    torch.testing.assert_close(mlp(x), hidden @ mlp.fc2.weight.T + mlp.fc2.bias, rtol=1e-12, atol=1e-12)


def test_block_has_the_published_size_and_can_start_as_the_identity():
    with torch.device("meta"):
        assert sum(p.numel() for p in TransformerBlock(512, 8).parameters()) == 3_152_384
    block = TransformerBlock(16, 2)
    x = torch.randn(1, 4, 16)
    assert not torch.equal(block(x), x)
    block.zero_init_residual()
    assert torch.equal(block(x), x)


def test_attention_refuses_a_width_that_heads_do_not_divide():
    with pytest.raises(ValueError, match="multiple"):
        Attention(10, 3)


def test_patches_are_flattened_time_first_and_zero_init_gives_zero_with_a_gradient():
    torch.manual_seed(0)
    embed = PatchEmbed3d(3, 8)
    volume = torch.randn(1, 3, 2, 4, 6)
    tokens = embed(volume)
    assert tokens.shape == (1, 2 * 2 * 3, 8)
    patch = volume[0, :, 1, 2:4, 4:6]  # last frame, last row, last column
    flat = embed.proj.weight[:, :, 0].flatten(1) @ patch.flatten() + embed.proj.bias
    expected = (flat - flat.mean()) / torch.sqrt(flat.var(unbiased=False) + 1e-5)
    torch.testing.assert_close(tokens[0, -1], expected, rtol=1e-4, atol=1e-5)
    embed.zero_init()
    tokens = embed(volume)
    assert torch.equal(tokens, torch.zeros_like(tokens))
    (tokens * torch.randn_like(tokens)).sum().backward()
    assert embed.proj.weight.grad.abs().max() > 0


def test_masked_tokens_are_not_attended_to():
    torch.manual_seed(0)
    block = TransformerBlock(8, 2)
    x = torch.randn(2, 5, 8)
    mask = torch.tensor([[True, True, True, False, False], [True] * 5])
    masked = block(x, mask)
    assert torch.allclose(masked[0, :3], block(x[:1, :3])[0], atol=1e-6)
    assert torch.allclose(masked[1], block(x)[1], atol=1e-6)
