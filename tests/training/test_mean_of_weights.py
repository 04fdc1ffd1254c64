"""The script that averages what was trained on with what it was trained on from."""

import runpy
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from lyra.hub import list_models, load_model, save_model
from lyra.models.depth import DepthConfig, DepthNet

SCRIPT = str(Path(__file__).parents[2] / "scripts" / "mean_of_weights.py")
SMALL = DepthConfig(width=16, context_width=24, context_blocks=1, context_heads=2, fine_width=8, refine_width=8)


def _saved(folder: Path, config: DepthConfig, seed: int) -> DepthNet:
    torch.manual_seed(seed)
    network = DepthNet(config)
    save_model(network, "depth/nano", config, "fp32", recipe={"steps": 7}, seed=seed, weights_dir=folder)
    return network


def _run(monkeypatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", ["mean_of_weights.py", *map(str, arguments)])
    runpy.run_path(SCRIPT, run_name="__main__")


def test_every_weight_lies_between_and_blocks_that_were_added_fade_in(tmp_path, monkeypatch):
    before = _saved(tmp_path / "before", SMALL, 1)
    after = _saved(tmp_path / "after", replace(SMALL, context_blocks=2), 2)
    _run(monkeypatch, tmp_path / "before", tmp_path / "after", tmp_path / "mean", "--share", 0.25)
    mean = load_model("depth/nano", weights_dir=tmp_path / "mean", kind=DepthNet)
    weight = mean.decoder.fuse8.lateral.weight
    expected = 0.75 * before.decoder.fuse8.lateral.weight + 0.25 * after.decoder.fuse8.lateral.weight
    torch.testing.assert_close(weight, expected, rtol=0, atol=1e-6)
    added = [network.decoder.context.blocks[1].attention_output.weight for network in (mean, after)]
    torch.testing.assert_close(added[0], 0.25 * added[1], rtol=0, atol=1e-6)
    (card,) = list_models(tmp_path / "mean")
    assert card.recipe == {"steps": 7, "share": 0.25} and card.seed == 2


def test_networks_of_other_shapes_are_refused(tmp_path, monkeypatch):
    _saved(tmp_path / "before", SMALL, 1)
    _saved(tmp_path / "after", replace(SMALL, width=24), 2)
    with pytest.raises(SystemExit, match="different shapes"):
        _run(monkeypatch, tmp_path / "before", tmp_path / "after", tmp_path / "mean")
    with pytest.raises(SystemExit, match="between 0 and 1"):
        _run(monkeypatch, tmp_path / "before", tmp_path / "after", tmp_path / "mean", "--share", 2)
    assert not (tmp_path / "mean").exists()
