import pytest
import torch
import torch.nn.functional as F

from lyra.nn import BidirectionalMamba2, MambaBlock, chunked_scan, recurrent_scan
from lyra.nn import ssm as ssm_module


def scan_arguments(length, requires_grad=False, strong_decay=False):
    generator = torch.Generator().manual_seed(length)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    x, B, C = normal(2, length, 3, 4), normal(2, length, 5), normal(2, length, 5)
    dt = F.softplus(normal(2, length, 3) + (3 if strong_decay else -2))
    A = -torch.exp(normal(3) + (2 if strong_decay else 0))
    arguments = [x, dt, A, B, C, normal(3)]
    return [a.detach().requires_grad_(requires_grad) for a in arguments]


@pytest.mark.parametrize(("length", "chunk"), [(1, 8), (7, 8), (8, 8), (33, 8), (40, 16), (29, 1), (5, 64)])
def test_chunked_scan_is_the_recurrence(length, chunk):
    arguments = scan_arguments(length)
    torch.testing.assert_close(chunked_scan(*arguments, chunk), recurrent_scan(*arguments), rtol=0, atol=1e-10)


def test_chunked_scan_carries_the_state_over_segments(monkeypatch):
    monkeypatch.setattr(ssm_module, "CHUNKS_PER_SEGMENT", 2)
    arguments = scan_arguments(45)  # segments of 8 tokens, the last one with 5
    torch.testing.assert_close(chunked_scan(*arguments, 4), recurrent_scan(*arguments), rtol=0, atol=1e-10)


@pytest.mark.parametrize("strong_decay", [False, True])
def test_chunked_scan_has_the_gradients_of_the_recurrence(strong_decay):
    plain = scan_arguments(21, requires_grad=True, strong_decay=strong_decay)
    fast = [a.detach().clone().requires_grad_() for a in plain]
    weight = torch.randn(2, 21, 3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (recurrent_scan(*plain) * weight).sum().backward()
    (chunked_scan(*fast, 8) * weight).sum().backward()
    for a, b in zip(plain, fast, strict=True):
        assert a.grad.abs().max() > 0
        torch.testing.assert_close(b.grad, a.grad, rtol=1e-10, atol=1e-10)


def test_a_single_token_matches_the_formula_by_hand():
    # S = dt x B, y = S C + D x with scalars: 0.5 * 2 * 3 * 7 + 11 * 2 = 43
    one = torch.ones(1, 1, 1, dtype=torch.float64)
    y = chunked_scan(2 * one[..., None], 0.5 * one, -one[0, 0], 3 * one, 7 * one, 11 * one[0, 0], 4)
    assert y.item() == pytest.approx(43)


def test_strong_decay_stays_finite_in_float32():
    arguments = [a.detach().float().requires_grad_() for a in scan_arguments(300, strong_decay=True)]
    y = chunked_scan(*arguments, 64)
    y.sum().backward()
    assert all(torch.isfinite(a.grad).all() for a in arguments)
    exact = recurrent_scan(*[a.detach().double() for a in arguments])
    torch.testing.assert_close(y.double(), exact, rtol=1e-4, atol=1e-4)


def test_bfloat16_keeps_its_state_in_float32():
    arguments = [a.float() for a in scan_arguments(500)]
    exact = recurrent_scan(*[a.double() for a in arguments])
    x, dt, A, B, C, D = arguments
    rough = chunked_scan(x.bfloat16(), dt, A, B.bfloat16(), C.bfloat16(), D, 16).double()
    assert rough.dtype == torch.float64 and (rough - exact).norm() / exact.norm() < 0.01


def test_start_values_of_the_scan():
    torch.manual_seed(0)
    scan = BidirectionalMamba2(64, state=8, head=4).scans[0]
    step = F.softplus(scan.dt_bias)
    assert step.min() >= 0.99e-3 and step.max() <= 0.101
    rate = scan.A_log.exp()
    assert rate.min() >= 1 and rate.max() <= 16 and torch.equal(scan.D, torch.ones(32))


def test_both_directions_see_the_other_end_and_are_added():
    torch.manual_seed(0)
    mamba = BidirectionalMamba2(16, state=8, head=8, chunk=4).double()
    x = torch.randn(1, 13, 16, dtype=torch.float64, requires_grad=True)
    mamba(x)[0, 6].sum().backward()
    assert (x.grad[0].abs().sum(-1) > 0).all()
    z, xBC, dt = mamba.in_proj(x).split(mamba.sizes, dim=-1)
    forth = mamba.scans[0](z, xBC, dt)
    back = mamba.scans[1](z.flip(1), xBC.flip(1), dt.flip(1)).flip(1)
    torch.testing.assert_close(mamba(x), (forth + back) @ mamba.out_proj.weight.T)
    assert forth[0, 3].detach().equal(mamba.scans[0](z[:, :4], xBC[:, :4], dt[:, :4])[0, 3].detach())  # causal


def test_official_block_has_the_published_parameter_count():
    with torch.device("meta"):
        block = MambaBlock(512)
    assert sum(p.numel() for p in block.parameters()) == 1_861_216


def test_zero_init_makes_the_block_the_identity():
    block = MambaBlock(16, state=4, head=8, chunk=4)
    x = torch.randn(1, 6, 16)
    assert not torch.equal(block(x), x)
    block.zero_init_residual()
    assert torch.equal(block(x), x)


def test_width_must_be_a_multiple_of_the_head_size():
    with pytest.raises(ValueError, match="head size"):
        BidirectionalMamba2(10, head=64)
