"""Ways to hold the teacher in less memory: all but 8-bit storage leave every number as it is."""

from dataclasses import replace

import pytest
import torch

from lyra.models.teacher import PublishedTeacher, TeacherInputs
from lyra.models.teacher.config import official
from lyra.models.teacher.lean import make_lean
from lyra.models.teacher.null_text import drop_text, serves_text
from lyra.models.teacher.offload import store_in_8_bits, stream_blocks
from lyra.structures import InputError

TINY = replace(
    official(), latent_channels=4, mask_channels=4, heads=3, head_dim=12, layers=3, text_dim=6, text_tokens=3,
    adaln_lora_dim=5, max_size=(8, 16, 16),
)  # fmt: skip


def teacher() -> PublishedTeacher:
    torch.manual_seed(0)
    net = PublishedTeacher(TINY).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return net.requires_grad_(False)


def estimate(net: PublishedTeacher) -> torch.Tensor:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(1, 4, 3, 4, 6, generator=generator)
    draws = [torch.randn(shape, generator=generator) for shape in ((1, 4, 1, 4, 6), (1, 2, 4, 3, 4, 6))]
    return net(3 * x, torch.tensor([3.0]), TeacherInputs(*draws, draws[1].flip(0), torch.ones(1, 3, 6)))


@torch.no_grad()
@pytest.mark.parametrize("heads", [1, 2, 3])
def test_parts_change_nothing(heads: int) -> None:
    net = teacher()
    expected = estimate(net)
    make_lean(net.backbone, parts=4, heads=heads)
    torch.testing.assert_close(estimate(net), expected, rtol=1e-6, atol=1e-6)


@torch.no_grad()
def test_the_zero_text_needs_no_cross_attention() -> None:
    net, other = teacher(), teacher()
    drop_text(net)
    generator = torch.Generator().manual_seed(1)
    x = 3 * torch.randn(1, 4, 3, 4, 6, generator=generator)
    draws = [torch.randn(shape, generator=generator) for shape in ((1, 4, 1, 4, 6), (1, 2, 4, 3, 4, 6))]
    zero, words = (
        TeacherInputs(*draws, draws[1].flip(0), text) for text in (torch.zeros(1, 3, 6), torch.ones(1, 3, 6))
    )
    expected = other(x, torch.tensor([3.0]), zero)
    assert torch.equal(net(x, torch.tensor([3.0]), zero), expected)
    assert not torch.allclose(other(x, torch.tensor([3.0]), words), expected, atol=1e-3), "a text would matter"
    gone = set(other.state_dict()) - set(net.state_dict())
    assert gone == {name for name in other.state_dict() if serves_text(name)} and len(gone) == 3 * 8


@torch.no_grad()
def test_streamed_blocks_change_nothing() -> None:
    net = teacher()
    expected = estimate(net)
    make_lean(net.backbone)
    stream_blocks(net, torch.device("cpu"))
    torch.testing.assert_close(estimate(net), expected, rtol=1e-6, atol=1e-6)
    assert any(hasattr(module, "_diffusers_hook") for module in net.backbone.modules())


@torch.no_grad()
def test_8_bit_storage_halves_the_large_weights_and_rounds_them() -> None:
    net = teacher()
    expected = estimate(net)
    store_in_8_bits(net, torch.float32)
    sizes = {name: parameter.element_size() for name, parameter in net.backbone.named_parameters()}
    assert sizes["transformer_blocks.0.ff.net.0.proj.weight"] == 1
    assert sizes["transformer_blocks.0.norm1.linear_2.weight"] == sizes["learnable_pos_embed.pos_emb_t"] == 4
    assert net.backbone.dtype == torch.float32
    change = (estimate(net) - expected).abs().max() / expected.abs().max()
    assert 1e-4 < change < 0.2


def test_without_the_package_the_install_line_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from lyra.models.teacher import offload

    monkeypatch.setattr(offload.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"pip install 'lyra-scenes\[official\]'"):
        stream_blocks(teacher(), torch.device("cpu"))
