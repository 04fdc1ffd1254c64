"""The decoder that is told the 3D cache: where it starts, what it may take from the cache, and what it refuses."""

import dataclasses

import pytest
import torch

from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig, NanoTokenizer, NanoTokenizerConfig
from lyra.structures import InputError

CONFIG = FrameDecoderConfig(latent_channels=8, widths=(16, 32), blocks=(2, 1))


@pytest.fixture
def tokenizer() -> NanoTokenizer:
    torch.manual_seed(0)
    made = NanoTokenizer(NanoTokenizerConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    for parameter in made.parameters():  # blocks that do something
        parameter.data += 0.02 * torch.randn_like(parameter)
    return made.eval()


@pytest.fixture
def told(tokenizer: NanoTokenizer) -> tuple[FrameDecoder, torch.Tensor, torch.Tensor, torch.Tensor]:
    decoder = FrameDecoder(CONFIG).eval()
    decoder.start_from(tokenizer)
    z, warped = torch.randn(2, 8, 3, 4, 6), torch.rand(2, 17, 3, 32, 48)
    return decoder, z, warped, torch.rand(2, 17, 32, 48) < 0.7


@torch.no_grad()
def test_it_starts_as_the_tokenizers_own_decoder_with_an_eighth_of_the_cache(tokenizer, told):
    decoder, z, warped, mask = told
    plain = tokenizer.decode(z).transpose(1, 2)
    share = float(torch.sigmoid(torch.tensor(-2.0)))
    assert share == pytest.approx(0.119, abs=1e-3)
    torch.testing.assert_close(decoder(z, warped, mask), plain + share * (warped - plain), atol=1e-5, rtol=0)


@torch.no_grad()
def test_an_open_gate_shows_the_cache_to_the_pixel(told):
    decoder, z, warped, mask = told
    decoder.gate_out.bias.fill_(30.0)
    torch.testing.assert_close(decoder(z, warped, mask), warped, atol=1e-5, rtol=0)


@torch.no_grad()
def test_gates_belong_to_single_pixels(told):
    """One bias of the 64 opens one pixel of every cube of 4 x 4 x 4, the first cube of which is one frame."""
    decoder, z, warped, mask = told
    decoder.gate_out.bias.fill_(-30.0)
    closed = decoder(z, warped, mask)
    decoder.gate_out.bias[3 * 16 + 1 * 4 + 2] = 30.0  # last frame of a cube, row 1, column 2
    opened = decoder(z, warped, mask)
    changed = (opened - closed).abs().amax(dim=(0, 2)) > 1e-4
    expected = torch.zeros(17, 32, 48, dtype=torch.bool)
    expected[0::4, 1::4, 2::4] = True
    assert torch.equal(changed, expected)
    torch.testing.assert_close(opened[:, 0::4, :, 1::4, 2::4], warped[:, 0::4, :, 1::4, 2::4], atol=1e-5, rtol=0)


@torch.no_grad()
def test_later_caches_do_not_reach_earlier_frames(told):
    decoder, z, warped, mask = told
    for parameter in decoder.parameters():
        parameter.add_(0.05 * torch.randn_like(parameter))
    first = decoder(z, warped, mask)
    warped[:, 9:] = 1 - warped[:, 9:]
    second = decoder(z, warped, mask)
    assert torch.equal(first[:, :9], second[:, :9])
    assert not torch.equal(first[:, 9:], second[:, 9:])


def test_what_does_not_belong_together_is_refused(tokenizer, told):
    decoder, z, warped, mask = told
    with pytest.raises(InputError, match=r"need a mask \[2, 17, 32, 48\]"):
        decoder(z, warped, mask[:, :9])
    with pytest.raises(InputError, match="a cache of that size"):
        decoder(z, warped[..., :40], mask)
    with pytest.raises(InputError, match="other sizes than the tokenizer"):
        FrameDecoder(FrameDecoderConfig(latent_channels=8, widths=(16, 24), blocks=(1, 1))).start_from(tokenizer)


@torch.no_grad()
def test_far_from_everything_visible_a_pattern_of_a_cells_width_is_averaged_away(tokenizer, told):
    _, z, _, _ = told
    decoder = FrameDecoder(dataclasses.replace(CONFIG, calm_from=4)).eval()
    decoder.start_from(tokenizer)
    decoder.gate_out.bias.fill_(30.0)  # shows the cache, so that the pattern is known
    columns = (torch.arange(48) % 8 < 4).float()
    warped = columns.expand(2, 17, 3, 32, 48)
    mask = torch.zeros(2, 17, 32, 48, dtype=torch.bool)
    mask[..., :16] = True
    calm = decoder(z, warped, mask)
    torch.testing.assert_close(calm[..., :18], warped[..., :18], atol=1e-5, rtol=0)  # visible, or nearly
    torch.testing.assert_close(calm[..., 24:40], torch.full((2, 17, 3, 32, 16), 0.5), atol=1e-5, rtol=0)
    torch.testing.assert_close(decoder(z, warped, torch.ones_like(mask)), warped, atol=1e-5, rtol=0)
    torch.testing.assert_close(decoder.train()(z, warped, mask), warped, atol=1e-5, rtol=0)
