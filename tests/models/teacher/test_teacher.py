"""The teacher: channel order, EDM algebra, published names, and that it starts at the warp."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.hub import config_from_dict, config_to_dict, load_model
from lyra.models.teacher import (
    Teacher,
    TeacherConfig,
    TeacherInputs,
    empty_cache,
    nano,
    pool_mask,
    text_denoiser,
)
from lyra.models.teacher.config import official  # the package's module of that name would shadow it
from lyra.models.teacher.official import from_official, official_names, to_official
from lyra.structures import InputError

TINY = TeacherConfig(latent_channels=4, heads=2, head_dim=16, layers=2, text_dim=8, adaln_lora_dim=4)


def tiny_inputs(batch: int = 2, frames: int = 3, buffers: int = 1) -> TeacherInputs:
    generator = torch.Generator().manual_seed(0)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return TeacherInputs(
        draw(batch, 4, 1, 4, 6), draw(batch, buffers, 4, frames, 4, 6), draw(batch, buffers, 8, frames, 4, 6)
    )


def test_untrained_teacher_returns_the_warp_at_high_noise():
    torch.manual_seed(0)
    teacher = Teacher(TINY)
    teacher.start_as_identity()
    inputs = tiny_inputs()
    sigma = torch.full((2,), 80.0)
    noisy = inputs.warped[:, 0] + 80 * torch.randn(2, 4, 3, 4, 6)
    clean = teacher(noisy, sigma, inputs)
    assert torch.allclose(clean[:, :, :1], inputs.source)
    # c_skip = 0.25 / (80^2 + 0.25) of noise with deviation 80 is left: 0.003
    assert (clean - inputs.warped[:, 0])[:, :, 1:].abs().max() < 0.02


def test_target_inverts_the_preconditioning():
    torch.manual_seed(1)
    teacher = Teacher(TINY)
    inputs = tiny_inputs()
    clean = torch.randn(2, 4, 3, 4, 6)
    sigma = torch.tensor([0.3, 7.0])
    noisy = clean + sigma[:, None, None, None, None] * torch.randn_like(clean)
    target = teacher.target(clean, noisy, sigma, inputs)
    wide = sigma[:, None, None, None, None]
    skip, out = 0.25 / (wide**2 + 0.25), 0.5 * wide / (wide**2 + 0.25).sqrt()
    base = inputs.warped[:, 0]
    assert torch.allclose(base + skip * (noisy - base) + out * target, clean, atol=1e-5)


def test_channels_follow_the_published_order():
    assert official().in_channels == 82
    seen = {}
    config = replace(TINY, residual=False, buffers=2, padding_channel=True)
    teacher = Teacher(config)
    teacher.backbone.forward = lambda hidden, *rest, **kw: (seen.setdefault("x", hidden)[:, :4],)
    inputs = tiny_inputs(buffers=2)
    noisy = torch.randn(2, 4, 3, 4, 6)
    teacher.network(noisy, torch.tensor([2.0, 2.0]), inputs)
    x = seen["x"]
    assert x.shape[1] == config.in_channels == 4 + 1 + 2 * (4 + 8) + 1
    assert torch.allclose(x[:, :4, 1:], noisy[:, :, 1:] / (4 + 0.25) ** 0.5, atol=1e-5)
    assert torch.allclose(x[:, :4, 0], inputs.source[:, :, 0] * 2, atol=1e-5)  # "the net sees about 2z"
    assert x[:, 4, 0].eq(1).all() and x[:, 4, 1:].eq(0).all()
    assert torch.equal(x[:, 5:9], inputs.warped[:, 0]) and torch.equal(x[:, 9:17], inputs.mask[:, 0])
    assert torch.equal(x[:, 17:21], inputs.warped[:, 1]) and torch.equal(x[:, 21:29], inputs.mask[:, 1])
    assert x[:, 29].eq(0).all()


def test_pool_mask_groups_frames_causally():
    mask = torch.zeros(1, 17, 16, 24)
    mask[:, 0] = 1
    mask[:, 5, :8, :8] = 1  # frame 5 is sub-frame 4 of latent frame 1
    mask[:, 16] = 0.5  # frame 16 is the last sub-frame of latent frame 2
    pooled = pool_mask(mask)
    assert pooled.shape == (1, 8, 3, 2, 3)
    assert pooled[0, :, 0].eq(1).all()
    expected = torch.full((8, 2, 3), -1.0)
    expected[4, 0, 0] = 1
    assert torch.equal(pooled[0, :, 1], expected)
    assert pooled[0, 7, 2].eq(0).all() and pooled[0, :7, 2].eq(-1).all()


def test_published_names_and_shapes_map_completely():
    listed = json.loads(Path(__file__).with_name("official_shapes.json").read_text())
    with torch.device("meta"):
        teacher = Teacher(official())
    ours = {name: list(tensor.shape) for name, tensor in teacher.state_dict().items()}
    names = official_names(28)
    published = {name: shape for name, shape in listed.items() if name != "pos_embedder.seq"}
    assert len(published) == 570 and set(names) == set(published)
    assert {names[name]: shape for name, shape in published.items()} == ours
    assert sum(p.numel() for p in teacher.parameters()) == 7_237_257_216


def test_name_maps_are_inverse_and_list_what_is_wrong():
    teacher = Teacher(replace(TINY, learnable_positions=True))
    state = teacher.state_dict()
    foreign = to_official(state, 2)
    foreign["net.logvar.0.freqs"] = torch.zeros(1)
    foreign["net.pos_embedder.seq"] = torch.zeros(1)
    back = from_official(foreign, 2)
    assert back.keys() == state.keys() and all(torch.equal(back[k], state[k]) for k in state)
    del foreign["net.affline_norm.weight"]
    with pytest.raises(InputError, match=r"affline_norm\.weight"):
        from_official(foreign, 2)


def test_nano_size():
    with torch.device("meta"):
        teacher = Teacher(nano())
    assert sum(p.numel() for p in teacher.parameters()) == 20_991_872


def opened(config: TeacherConfig) -> Teacher:
    """A teacher whose every branch has a say, as after training."""
    torch.manual_seed(3)
    return Teacher(config).eval()


def test_without_text_the_output_is_that_of_one_zero_token():
    """What the embedded weights were trained with; any number of zero tokens gives exactly the same."""
    teacher, inputs = opened(TINY), tiny_inputs()
    x, sigma = torch.randn(2, 4, 3, 4, 6), torch.tensor([0.5, 9.0])
    seen = {}
    forward = teacher.backbone.forward
    teacher.backbone.forward = lambda *given, **named: (
        seen.setdefault("given", (given, named)) and forward(*given, **named)
    )
    plain = teacher(x, sigma, inputs)
    (hidden, noise, text), named = seen["given"]
    assert torch.equal(text, torch.zeros(2, 1, 8)) and named == {"attention_mask": None, "return_dict": False}
    more = Teacher(replace(TINY, text_tokens=16, text=True)).eval()
    more.load_state_dict(teacher.state_dict())
    assert torch.equal(more(x, sigma, inputs), plain)
    for tokens in (1, 5):
        assert torch.equal(teacher(x, sigma, replace(inputs, text=torch.zeros(2, tokens, 8))), plain)


def test_text_changes_the_output_and_its_order_does_not():
    teacher, inputs = opened(TINY), tiny_inputs()
    x, sigma = torch.randn(2, 4, 3, 4, 6), torch.tensor([0.5, 9.0])
    text = torch.randn(2, 5, 8)
    told = teacher(x, sigma, replace(inputs, text=text))
    assert (told - teacher(x, sigma, inputs))[:, :, 1:].abs().max() > 1e-3
    assert torch.allclose(teacher(x, sigma, replace(inputs, text=text.flip(1))), told, atol=1e-5)


def test_masked_tokens_do_not_count_and_a_row_without_any_is_the_null_text():
    teacher, inputs = opened(TINY), tiny_inputs()
    x, sigma = torch.randn(2, 4, 3, 4, 6), torch.tensor([0.5, 9.0])
    text = torch.randn(2, 5, 8)
    mask = torch.tensor([[True, True, False, False, False], [False] * 5])
    seen = []
    forward = teacher.backbone.forward
    teacher.backbone.forward = lambda *given, **named: seen.append(named["attention_mask"]) or forward(*given, **named)
    masked = teacher(x, sigma, replace(inputs, text=text, text_mask=mask))
    assert seen[0].tolist() == [[True, True, False, False, False], [True] * 5], "attention to nothing is undefined"
    short = teacher(x[:1], sigma[:1], replace(inputs.items(slice(1)), text=text[:1, :2]))
    assert torch.allclose(masked[:1], short, atol=1e-5)
    assert torch.allclose(masked[1:], teacher(x, sigma, inputs)[1:], atol=1e-5)


def test_guidance_without_a_text_forgets_the_one_in_the_inputs():
    teacher, inputs = opened(TINY), tiny_inputs()
    x, sigma = torch.randn(2, 4, 3, 4, 6), torch.tensor([0.5, 9.0])
    told = replace(inputs, text=torch.randn(2, 5, 8))
    assert torch.equal(text_denoiser(teacher, told, None, None, 1.0)(x, sigma), teacher(x, sigma, inputs))


def test_an_unknown_first_frame_is_denoised_like_the_others():
    teacher = opened(TINY)
    seen = {}
    teacher.backbone.forward = lambda hidden, *rest, **kw: (seen.setdefault("x", hidden)[:, :4],)
    x = torch.randn(2, 4, 1, 4, 6)
    blank = empty_cache(x, TINY)
    clean = teacher(x, torch.tensor([2.0, 2.0]), blank)
    assert torch.allclose(seen["x"][:, :4], x / (4 + 0.25) ** 0.5, atol=1e-5)
    assert seen["x"][:, 4:9].eq(0).all() and seen["x"][:, 9:17].eq(-1).all()
    skip, out = 0.25 / 4.25, 0.5 * 2 / 4.25**0.5
    assert torch.allclose(clean, skip * x + out * seen["x"][:, :4], atol=1e-5)


def test_embedded_weights_load_into_a_config_with_more_text_tokens():
    embedded = load_model("teacher/nano", kind=Teacher)
    config = replace(embedded.config, text_tokens=16, text=True, illustrates=True)
    teacher = Teacher(config)
    teacher.load_state_dict(embedded.state_dict())
    assert config_from_dict(TeacherConfig, config_to_dict(config)) == config
    assert not embedded.config.text or embedded.config.text_tokens > 1, "trained captions come with their tokens"
