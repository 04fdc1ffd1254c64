"""A run that goes on from trained weights is told whether it will see new worlds."""

import pytest
import torch

from lyra.hub import load_model, save_model
from lyra.models.tokenizer import NanoTokenizer
from lyra.training import train
from lyra.training.networks import seed_of_start
from lyra.training.tasks.depth import DepthTask
from lyra.training.tasks.frames import FramesTask
from lyra.training.tasks.teacher import TeacherTask


@pytest.mark.parametrize(("name", "kind"), [("depth", DepthTask), ("teacher", TeacherTask), ("frames", FramesTask)])
def test_runs_of_neighbouring_seeds_share_no_world(name, kind, tiny):
    def worlds(seed: int, batches: int) -> list[torch.Tensor]:
        feed = kind(tiny(name, steps=1, seed=seed), torch.device("cpu")).feed
        feed.seek(0)
        return [light for _ in range(batches) for light in feed.next().light]

    (first,) = worlds(1, batches=1)
    assert not any(torch.equal(first, other) for other in worlds(0, batches=3))


def test_the_same_seed_again_is_noted(tiny, tiny_models, tmp_path):
    start = load_model("tokenizer/nano", weights_dir=tiny_models, kind=NanoTokenizer)
    folder = tmp_path / "start"
    save_model(start, "tokenizer/nano", start.config, seed=5, storage="fp32", folder=folder)
    save_model(start, "tokenizer/nano", start.config, seed=6, storage="fp32", weights_dir=tmp_path / "several")
    assert seed_of_start(str(folder), "tokenizer") == 5
    assert seed_of_start(str(tmp_path / "several"), "tokenizer") == 6
    assert seed_of_start(str(tmp_path / "several"), "depth") is None
    assert seed_of_start("no/such", "tokenizer") is None
    lines: list[str] = []
    train(tiny("tokenizer", steps=1, seed=5, init=str(folder), score=False), notify=lines.append)
    assert any("same worlds" in line and "--seed 5" in line for line in lines)
    lines.clear()
    train(tiny("tokenizer", steps=1, seed=6, init=str(folder), score=False, out=tmp_path / "new"), notify=lines.append)
    assert not any("same worlds" in line for line in lines)
