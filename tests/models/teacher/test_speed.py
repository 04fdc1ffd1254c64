"""Faster teachers: how far each one is from the plain one."""

from dataclasses import replace

import pytest
import torch
from torch import nn

from lyra.models.teacher import PublishedTeacher, TeacherInputs
from lyra.models.teacher.config import official
from lyra.models.teacher.speed import Float8Linear, forget, multiply_in_8_bits, reuse_blocks, side, to_float8

TINY = replace(
    official(), latent_channels=4, mask_channels=4, heads=2, head_dim=16, layers=3, text_dim=6, text_tokens=3,
    adaln_lora_dim=5, max_size=(8, 16, 16),
)  # fmt: skip


def teacher() -> PublishedTeacher:
    torch.manual_seed(0)
    return PublishedTeacher(TINY).eval().requires_grad_(False)


def inputs(seed: int = 1) -> tuple[torch.Tensor, TeacherInputs]:
    generator = torch.Generator().manual_seed(seed)
    draws = [torch.randn(s, generator=generator) for s in ((1, 4, 3, 4, 6), (1, 4, 1, 4, 6), (1, 2, 4, 3, 4, 6))]
    return 3 * draws[0], TeacherInputs(draws[1], draws[2], draws[2].flip(0))


def test_8_bit_numbers_carry_their_scale() -> None:
    values = torch.randn(5, 64) * torch.tensor([1e-6, 1e-2, 1.0, 1e3, 0.0])[:, None]
    numbers, scale = to_float8(values)
    error = (numbers.float() * scale - values).abs().amax(1)
    assert (error <= values.abs().amax(1) * 2**-4 + 1e-12).all() and numbers.dtype == torch.float8_e4m3fn


@torch.no_grad()
def test_8_bit_products() -> None:
    torch.manual_seed(0)
    linear = nn.Linear(64, 32, bias=False).bfloat16()
    x = torch.randn(2, 16, 64).bfloat16()
    found, expected = Float8Linear(linear)(x), linear(x)
    assert found.shape == expected.shape and found.dtype == torch.bfloat16
    rows, scale = to_float8(x.flatten(0, 1))
    weight, weight_scale = to_float8(linear.weight)
    exact = (rows.float() * scale) @ (weight.float() * weight_scale).T
    torch.testing.assert_close(found.flatten(0, 1).float(), exact, rtol=0.02, atol=0.02)
    assert ((found - expected).float().norm() / expected.float().norm()) < 0.06
    net = teacher().bfloat16()
    x, conditioning = inputs()
    plain = net(x, torch.tensor([3.0]), conditioning)
    multiply_in_8_bits(net)
    assert sum(isinstance(module, Float8Linear) for module in net.modules()) == 3 * 6
    change = (net(x, torch.tensor([3.0]), conditioning) - plain).norm() / plain.norm()
    assert 1e-4 < change < 0.1


@torch.no_grad()
def test_reused_blocks_are_skipped_per_side_and_forgotten() -> None:
    net = teacher()
    calls: list[int] = []
    for index, block in enumerate(net.backbone.transformer_blocks):
        block.attn1.register_forward_hook(lambda *_, index=index: calls.append(index))
    reuse_blocks(net, threshold=0.5)
    x, conditioning = inputs()

    def run(name: str, moved: float) -> torch.Tensor:
        calls.clear()
        with side(net, name):
            return net(x + moved, torch.tensor([3.0]), conditioning)

    first = run("wanted", 0.0)
    assert calls == [0, 1, 2]
    torch.testing.assert_close(run("wanted", 0.0), first)
    assert calls == [0], "the same again: the first block tells, the others are skipped"
    run("unwanted", 0.0)
    assert calls == [0, 1, 2], "the other side has seen nothing yet"
    run("wanted", 50.0)
    assert calls == [0, 1, 2], "too far from the last full pass"
    forget(net)
    run("wanted", 50.0)
    assert calls == [0, 1, 2]
    with pytest.raises(ValueError, match="context"):
        net(x, torch.tensor([3.0]), conditioning)
