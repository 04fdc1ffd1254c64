"""Latents belong to one training of one tokenizer."""

import json

import pytest
import torch

from lyra.data import LatentSpace
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig, Tokenizer
from lyra.structures import InputError


class PerFrame(Tokenizer):
    """Statistics for each of four latent frames, as the Cosmos tokenizer has."""

    name, channels, temporal, spatial = "per-frame", 3, 8, 8

    def __init__(self) -> None:
        super().__init__((3, 4))


@pytest.fixture(params=["nano", "per frame"])
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    made = NanoTokenizer(NanoTokenizerConfig(3, (16, 32), (1, 1))) if request.param == "nano" else PerFrame()
    shape = made.latent_mean.shape
    made.set_latent_statistics(torch.randn(shape), torch.rand(shape) + 0.1)
    return made


def test_it_scales_as_the_tokenizer_does(tokenizer: Tokenizer) -> None:
    space = LatentSpace.of(tokenizer)
    z = torch.randn(2, 3, 2, 4, 5)
    assert torch.allclose(space.normalize(z), tokenizer.normalize(z))
    assert torch.allclose(space.denormalize(z), tokenizer.denormalize(z))
    assert torch.allclose(space.denormalize(space.normalize(z)), z, atol=1e-5)


def test_it_survives_json_exactly(tokenizer: Tokenizer) -> None:
    space = LatentSpace.of(tokenizer)
    again = LatentSpace.from_json(json.loads(json.dumps(space.to_json())), "here")
    assert again.tokenizer == tokenizer.name
    assert torch.equal(again.mean, space.mean) and torch.equal(again.std, space.std)
    space.require(again, "the same")


def test_another_tokenizer_or_another_training_of_it_is_refused(space: LatentSpace) -> None:
    with pytest.raises(InputError, match=r"store x holds latents of the tokenizer other, needed are those of toy; "):
        space.require(LatentSpace("other", space.mean, space.std), "store x")
    for mean, std in ((space.mean + 1e-3, space.std), (space.mean, space.std * 1.001), (space.mean[1:], space.std[1:])):
        with pytest.raises(InputError, match=r"store x .* another training of toy, their statistics differ; "):
            space.require(LatentSpace("toy", mean, std), "store x")


def test_latents_of_another_shape_are_refused(space: LatentSpace) -> None:
    with pytest.raises(InputError, match="5 channels, those of the tokenizer toy have 4; "):
        space.normalize(torch.zeros(1, 5, 1, 1, 1))
    with pytest.raises(InputError, match="5 frames, the statistics of the tokenizer per-frame cover 4; "):
        LatentSpace.of(PerFrame()).denormalize(torch.zeros(1, 3, 5, 1, 1))


@pytest.mark.parametrize(
    "values", [{}, {"name": "a", "mean": [0.0], "std": [0.0]}, {"name": "a", "mean": 3, "std": []}]
)
def test_statistics_that_are_none_are_refused(values: dict) -> None:
    with pytest.raises(InputError, match=r"manifest.json .*; restore the file"):
        LatentSpace.from_json(values, "manifest.json")
