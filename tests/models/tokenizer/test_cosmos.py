"""The library's tokenizer behind our interface, at toy size, and its published names and shapes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lyra.models.tokenizer import SIGMA_DATA, CosmosTokenizer, CosmosTokenizerConfig
from lyra.models.tokenizer.official import from_official, official_names, to_official
from lyra.structures import InputError

TOY = CosmosTokenizerConfig(
    latent_channels=4, encoder_widths=(8, 16, 32, 32), decoder_widths=(16, 32, 32, 32), statistics_frames=3
)


@pytest.fixture(scope="module")
def toy() -> CosmosTokenizer:
    torch.manual_seed(0)
    return CosmosTokenizer(TOY).eval()


@torch.no_grad()
@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (17, 3)])
def test_shapes(toy: CosmosTokenizer, frames: int, latent_frames: int) -> None:
    video = torch.rand(1, 3, frames, 32, 48)
    z = toy.encode(video)
    assert z.shape == (1, 4, latent_frames, 4, 6)
    assert toy.latent_frames(frames) == latent_frames
    assert toy.decode(z).shape == video.shape


@torch.no_grad()
def test_pixels_are_mapped_to_the_range_of_the_library(toy: CosmosTokenizer) -> None:
    video = torch.rand(1, 3, 1, 32, 32)
    z = toy.vae.encode(2 * video - 1).latent_dist.mode()
    torch.testing.assert_close(toy.encode(video), z)
    torch.testing.assert_close(2 * toy.decode(z) - 1, toy.vae.decode(z).sample, rtol=1e-4, atol=1e-5)


@torch.no_grad()
def test_causality(toy: CosmosTokenizer) -> None:
    video = torch.rand(1, 3, 17, 32, 32)
    later = video.clone()
    later[:, :, 9:] = torch.rand_like(later[:, :, 9:])
    z, changed = toy.encode(video), toy.encode(later)
    torch.testing.assert_close(changed[:, :, :2], z[:, :, :2], rtol=1e-5, atol=1e-5)
    assert (changed[:, :, 2] - z[:, :, 2]).abs().max() > 1e-3
    torch.testing.assert_close(toy.encode(video[:, :, :1]), z[:, :, :1], rtol=1e-5, atol=1e-5)


def test_statistics_per_latent_frame(toy: CosmosTokenizer) -> None:
    net = CosmosTokenizer(TOY)
    mean, std = torch.randn(4, 3), torch.rand(4, 3) + 0.5
    net.set_latent_statistics(mean, std)
    z = torch.randn(2, 4, 2, 5, 6)
    normalised = net.normalize(z)
    expected = (z[1, 3, 1, 4, 5] - mean[3, 1]) / std[3, 1] * SIGMA_DATA
    torch.testing.assert_close(normalised[1, 3, 1, 4, 5], expected)
    torch.testing.assert_close(net.denormalize(normalised), z)
    with pytest.raises(InputError, match="statistics cover 3 latent frames"):
        net.normalize(torch.zeros(1, 4, 4, 2, 2))


def test_three_widths_are_refused() -> None:
    with pytest.raises(ValueError, match="4 widths"):
        CosmosTokenizerConfig(encoder_widths=(64, 128, 128))


def test_all_published_tensors_have_their_place() -> None:
    shapes = json.loads((Path(__file__).parent / "cosmos_shapes.json").read_text())
    with torch.device("meta"):
        net = CosmosTokenizer()
    ours = {name: list(parameter.shape) for name, parameter in net.named_parameters()}
    names = official_names()
    assert len(shapes) == len(ours) == 310
    assert {names[name]: shape for name, shape in shapes.items()} == ours
    assert sum(parameter.numel() for parameter in net.parameters()) == 105_653_696
    assert net.latent_mean.shape == net.latent_std.shape == (16, 16)


def test_published_statistics_are_the_start() -> None:
    config = CosmosTokenizerConfig(encoder_widths=(8, 8, 8, 8), decoder_widths=(8, 8, 8, 8))
    net = CosmosTokenizer(config)
    assert abs(float(net.latent_mean[0, 0]) - 0.11362758) < 1e-7
    assert abs(float(net.latent_std[0, 1]) - 0.65488982) < 1e-7
    assert {"latent_mean", "latent_std"} <= set(net.state_dict())


def test_names_both_ways(toy: CosmosTokenizer) -> None:
    state = toy.state_dict()
    theirs, mean, std = to_official(state)
    theirs["encoder.patcher3d.wavelets"] = torch.ones(2)
    restored = from_official(theirs, mean.flatten(), std.bfloat16())
    assert set(restored) == set(state)
    other = CosmosTokenizer(TOY)
    other.load_state_dict(restored)
    assert all(torch.equal(value, other.state_dict()[name]) for name, value in state.items())
    assert "decoder.up.0.block.0.conv1.0.conv3d.weight" in theirs


def test_incomplete_checkpoints_are_refused(toy: CosmosTokenizer) -> None:
    theirs, mean, std = to_official(toy.state_dict())
    with pytest.raises(InputError, match="mean_std"):
        from_official(theirs, mean.flatten()[:7], std)
    theirs["strange"] = theirs.pop("quant_conv.conv3d.bias")
    with pytest.raises(InputError, match=r"1 missing \(quant_conv.conv3d.bias…\) and 1 surplus \(strange…\)"):
        from_official(theirs, mean, std)


def test_the_library_is_imported_only_when_needed() -> None:
    code = "import sys, lyra.models.tokenizer; sys.exit('diffusers' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
