"""The recipe that trains only the decoding half of the tokenizer."""

import pytest
import torch

from lyra.hub import load_model, save_model
from lyra.models.tokenizer import NanoTokenizer
from lyra.structures import InputError
from lyra.training import train
from lyra.training.recipes import DECODE
from lyra.training.train import make_task


def quiet(line: str) -> None:
    """Say nothing."""


def test_pictures_get_better_and_latents_stay(tiny, tiny_models, tmp_path):
    start = load_model("tokenizer/nano", weights_dir=tiny_models, kind=NanoTokenizer)
    start.set_latent_statistics(torch.randn(start.channels), torch.rand(start.channels) + 0.5)
    save_model(start, "tokenizer/nano", start.config, storage="fp32", folder=tmp_path / "start")
    options = tiny("tokenizer", steps=25, recipe=DECODE, init=str(tmp_path / "start"), rate=3e-3, score=False)
    video = make_task(options, torch.device("cpu"))._crops()
    train(options, notify=quiet)
    trained = load_model("tokenizer/nano", weights_dir=options.out, kind=NanoTokenizer)
    clip = torch.rand(1, 3, 1, 16, 16).expand(-1, -1, 9, -1, -1)
    with torch.no_grad():
        before, after = start.encode(clip), trained.encode(clip)
        # int8 storage rounds both halves alike: less than a hundredth of what the code spans
        assert float((after - before).abs().max()) < 0.01 * float(before.abs().max())
        errors = [float((model.decode(start.encode(video)) - video).square().mean()) for model in (start, trained)]
    assert errors[1] < 0.98 * errors[0]
    assert torch.equal(trained.latent_mean, start.latent_mean) and torch.equal(trained.latent_std, start.latent_std)


def test_it_needs_a_tokenizer_to_begin_with(tiny):
    with pytest.raises(InputError, match="--init tokenizer/nano"):
        train(tiny("tokenizer", steps=1, recipe=DECODE), notify=quiet)
