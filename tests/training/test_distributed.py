"""Two processes over gloo: the loss and weights of one process, shards that save and resume, and one writer."""

import importlib.util
import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from lyra.hub import load_model
from lyra.models.teacher import Teacher
from lyra.training.checkpoint import load_checkpoint
from lyra.training.loop import run_loop
from lyra.training.options import TrainOptions
from lyra.training.train import train

PROGRAM = Path(__file__).parent / "two_processes.py"


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory, few_textures: dict) -> Path:
    """The folder in which two processes have trained; they write ``rank_N.json``."""
    folder = tmp_path_factory.mktemp("together")
    (folder / "textures.pickle").write_bytes(pickle.dumps(few_textures["train"]))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    outcome = subprocess.run(
        [*command, str(PROGRAM), str(folder)],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert outcome.returncode == 0, outcome.stderr[-4000:]
    return folder


@pytest.fixture(scope="module")
def program():
    """The module that the processes ran, for the same tasks in this process."""
    spec = importlib.util.spec_from_file_location("two_processes", PROGRAM)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


def report(folder: Path, rank: int) -> dict:
    return json.loads((folder / f"rank_{rank}.json").read_text())


def losses(folder: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (folder / "log.jsonl").read_text().splitlines()]


def test_two_processes_are_one_with_two_micro_batches(together, program, tmp_path):
    alone = program.Line()
    run_loop(alone, TrainOptions("depth", tmp_path, steps=20, device="cpu", log_every=1, accumulate=2), quiet)
    assert losses(together / "line") == pytest.approx(losses(tmp_path), abs=2e-5)
    assert losses(tmp_path)[-1] < losses(tmp_path)[0]
    one, two = load_checkpoint(tmp_path), load_checkpoint(together / "line")
    for part in ("network", "average"):
        for name, value in one[part].items():
            assert torch.allclose(value, two[part][name], atol=1e-6)
    # the data differ between the processes, and are those of the two micro-batches
    first, second = (report(together, rank)["seen"] for rank in (0, 1))
    assert first == alone.seen[::2] and second == alone.seen[1::2] and not set(first) & set(second)


def test_a_real_task_on_two_processes_gives_the_loss_of_one(together, program, tmp_path, monkeypatch):
    for owner, name in ((program.TextureSet, "to"), (program.depth, "load_textures"), (program.depth, "DepthConfig")):
        monkeypatch.setattr(owner, name, getattr(owner, name))  # put back what the next line replaces
    train(program.depth_options(tmp_path, together / "textures.pickle", accumulate=2), notify=quiet)
    assert losses(together / "depth") == pytest.approx(losses(tmp_path), rel=1e-4)
    one, two = load_checkpoint(tmp_path)["network"], load_checkpoint(together / "depth")["network"]
    assert one.keys() == two.keys()
    assert all(torch.allclose(value.float(), two[name].float(), atol=2e-5) for name, value in one.items())


def test_one_process_writes_and_speaks(together):
    (line,) = report(together, 1)["said"]
    assert "is not a number" in line  # the program's own words about the error that every process raises
    assert sum(line.startswith("step 0,") for line in report(together, 0)["said"]) == 5
    assert [path.name for path in (together / "line").glob("packed_by_*")] == ["packed_by_0.json"]
    assert json.loads((together / "line" / "packed_by_0.json").read_text())["processes"] == 2
    assert len(losses(together / "line")) == 20


def test_shards_learn_what_copies_learn(together):
    assert losses(together / "whole") == pytest.approx(losses(together / "copied"), rel=1e-4)
    sharded, copied = (
        load_model("teacher/nano", weights_dir=together / run, kind=Teacher).state_dict() for run in ("whole", "copied")
    )
    assert all(torch.allclose(value, copied[name], atol=1e-5) for name, value in sharded.items())
    assert (together / "whole" / "step_000004.png").is_file()  # all processes took part in it


def test_shards_stop_before_a_bad_step_fall_back_and_resume(together):
    said = report(together, 0)["said"]
    assert any("at step 3 is not a number" in line for line in said)
    assert any("checkpoint.sharded cannot be read, trying the previous one" in line for line in said)
    assert "going on from step 2, " in " ".join(said)
    whole, parts = (
        load_model("teacher/nano", weights_dir=together / run, kind=Teacher).state_dict() for run in ("whole", "parts")
    )
    assert all(torch.equal(value, parts[name]) for name, value in whole.items())
    kept = {path.name for path in (together / "parts").iterdir() if "checkpoint" in path.name}
    assert {"checkpoint.sharded", "checkpoint.previous.sharded", "checkpoint.damaged-1.sharded"} <= kept
    assert not list((together / "parts").glob(".checkpoint*"))
