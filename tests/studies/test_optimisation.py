"""Optimisation per scene: it recovers a scene from its pictures, and the comparison says what it should."""

import functools
import json
import re
from dataclasses import replace

import pytest
import torch

from lyra.cli import main
from lyra.geometry import intrinsics_from_fov, trajectory_c2w
from lyra.metrics import psnr
from lyra.pipeline import Pipeline
from lyra.raster import render
from lyra.structures import Cameras, Gaussians, InputError
from lyra.studies import optimisation
from lyra.studies.optimisation import (
    HELD_OUT,
    OptimisationProtocol,
    evaluate_optimisation,
    optimisation_table,
    optimise,
)

SIZE = (32, 48)


def wall(seed: int) -> Gaussians:
    """A wall of round Gaussians at depth 1 with random colours."""
    generator = torch.Generator().manual_seed(seed)
    y, x = torch.meshgrid(torch.linspace(-0.5, 0.5, 14), torch.linspace(-0.7, 0.7, 20), indexing="ij")
    means = torch.stack([x, y, torch.ones_like(x)], dim=-1).reshape(-1, 3)
    count = len(means)
    quats = torch.eye(1, 4).expand(count, -1)
    return Gaussians(means, quats, torch.full((count, 3), 0.04), torch.full((count,), 0.9),
                     torch.rand(count, 3, generator=generator))  # fmt: skip


def test_it_recovers_colours_and_shows_them_from_elsewhere():
    truth = wall(0)
    c2w = torch.cat([trajectory_c2w(name, 5, 0.3) for name in ("left", "up")])
    K = intrinsics_from_fov(torch.tensor(1.2), *SIZE).expand(len(c2w), 3, 3)
    cameras = Cameras(c2w, K, *SIZE)
    pictures = render(truth, cameras).rgb
    seen, held = [0, 2, 4, 5, 7, 9], [1, 3, 6, 8]
    start = replace(truth, colors=torch.full_like(truth.colors, 0.5), scales=truth.scales * 0.8)
    lines: list[str] = []
    torch.manual_seed(0)
    fitted = optimise(start, pictures[seen], c2w[seen], K[seen], 300, lines.append)
    views = Cameras(c2w[held], K[held], *SIZE)
    before, after = (psnr(render(g, views).rgb, pictures[held]).mean() for g in (start, fitted))
    assert after > 30 and after > before + 12
    losses = [float(re.match(rf"  step {30 * (n + 1)} of 300: loss ([\d.]+), [\d.]+ s, [\d.]+ ms a step$", line)[1])
              for n, line in enumerate(lines)]  # fmt: skip
    assert len(losses) == 10 and losses[-1] < losses[0]
    assert torch.equal(start.colors, torch.full_like(start.colors, 0.5)), "the start is not touched"


def test_the_comparison(tiny_weights, monkeypatch):
    pictured: list[int] = []
    monkeypatch.setattr(optimisation, "optimise", _watched(optimisation.optimise, pictured))
    protocol = OptimisationProtocol(count=1, steps=12, height=32, width=64, device="cpu")
    pipeline = _pipeline(tiny_weights)
    report = evaluate_optimisation(protocol, pipeline, lambda line: None)
    assert HELD_OUT == (2, 6, 10, 14) and pictured == [6 * 13]  # nothing that is scored was fitted
    assert set(report["methods"]) == {"optimised", "decoder", "scene"}
    for row in report["methods"].values():
        assert row["seconds"] > 0 and row["gaussians"] > 1000
        assert 5 < row["teacher"]["psnr_all"] < 60 and 5 < row["true"]["psnr_all"] < 60
    rows = report["methods"]
    gap = rows["optimised"]["teacher"]["psnr_all"] - rows["scene"]["teacher"]["psnr_all"]
    assert report["gap_teacher"] == pytest.approx(gap, abs=1e-3)
    assert report["ratio"] == pytest.approx(rows["optimised"]["seconds"] / rows["scene"]["seconds"])
    assert json.loads(json.dumps(report)) == report
    assert 0 < report["forward_seconds"] < rows["decoder"]["seconds"] < rows["scene"]["seconds"]
    optimised, clips = rows["optimised"]["seconds"], report["clips_seconds"]
    assert report["ratio_forward"] == pytest.approx(optimised / report["forward_seconds"]) and clips > 0
    assert report["ratio_road"] == pytest.approx((clips + optimised) / (clips + rows["scene"]["seconds"]))
    text = optimisation_table(report)
    assert "optimised" in text and "nan" not in text
    assert not pipeline.decoder._forward_hooks and not pipeline.decoder._forward_pre_hooks
    with pytest.raises(InputError, match="steps 0 is outside 1"):
        replace(protocol, steps=0)


def test_the_command_says_times_and_differences(tiny_weights, monkeypatch, tmp_path, capsys):
    small = functools.partial(OptimisationProtocol, height=32, width=64)
    monkeypatch.setattr(optimisation, "OptimisationProtocol", small)
    monkeypatch.setattr(Pipeline, "load", staticmethod(lambda device: _pipeline(tiny_weights)))
    file = tmp_path / "optimisation.json"
    words = ["--count", "2", "--steps", "10", "--device", "cpu", "--json", str(file)]
    assert main(["evaluate", "optimisation", *words]) == 0
    said = capsys.readouterr().out
    report = json.loads(file.read_text())
    assert f"is {report['ratio']:.3g} times as fast (the network alone {report['ratio_forward']:.3g} times" in said
    for gap, where in (("gap_teacher", "the optimised one on the teacher's frames"), ("gap_true", "it on true views")):
        side = "below" if report[gap] >= 0 else "above"
        assert f"{abs(report[gap]):.2f} dB {side} {where}" in said
    assert "world 2/2: optimised " in said and "step 10 of 10" in said


def _watched(inner, counts: list[int]):
    def run(start, pictures, *rest):
        counts.append(len(pictures))
        return inner(start, pictures, *rest)

    return run


def _pipeline(folder) -> Pipeline:
    from lyra.hub import load_model

    names = ("depth/nano", "tokenizer/nano", "teacher/nano", "decoder/nano", "frames/nano")
    *four, frames = (load_model(name, weights_dir=folder) for name in names)
    return Pipeline(*four, frame_decoder=frames)
