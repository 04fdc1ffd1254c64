"""The loop with a task small enough to solve: it learns, resumes to the same numbers, and refuses bad losses."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from lyra.structures import InputError
from lyra.training.checkpoint import LATEST, CheckpointFolder, load_checkpoint, save_checkpoint
from lyra.training.ema import WeightAverage
from lyra.training.loop import SLOW_FACTOR, NonFiniteLossError, run_loop
from lyra.training.loop import _groups as parameter_groups
from lyra.training.options import TrainOptions
from lyra.training.task import Task, cosine_rate


class LineTask(Task):
    """Fit y = 3x - 1; batches depend on the step alone."""

    batch = 32
    learning_rate, weight_decay, ema_decay = 0.05, 0.0, 0.9
    slow_prefixes: tuple[str, ...] = ()

    def __init__(self, poison_at: int | None = None) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Linear(1, 1)
        self.poison_at = poison_at
        self.losses: list[float] = []

    def use(self, network):
        self.wrapped = network

    def loss(self, step, progress):
        x = torch.randn(32, 1, generator=torch.Generator().manual_seed(step))
        loss = (self.wrapped(x) - (3 * x - 1)).square().mean()
        if step == self.poison_at:
            loss = loss * float("nan")
        self.losses.append(float(loss.detach()))
        return loss, {"loss_again": loss.detach()}

    def pictures(self):
        return torch.rand(3, 3, 8, 8)

    def scores(self):
        return {"slope": float(self.network.weight.detach())}

    def pack(self, folder: Path, recipe, scores):
        path = folder / "packed.txt"
        path.write_text(f"{recipe['steps']} {scores['slope']:.4f}")
        return path


def options(tmp_path: Path, **changes) -> TrainOptions:
    return TrainOptions("depth", tmp_path, device="cpu", log_every=50, image_every=200, save_every=100, **changes)


def test_learns_and_writes_log_pictures_and_weights(tmp_path):
    task = LineTask()
    packed = run_loop(task, options(tmp_path, steps=300), notify=lambda line: None)
    assert abs(float(packed.read_text().split()[1]) - 3) < 0.02 and packed.read_text().startswith("300 ")
    assert task.losses[-1] < 1e-3 * task.losses[0]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 6
    assert (tmp_path / "step_000200.png").is_file() and (tmp_path / LATEST).is_file()


def test_resumed_run_sees_the_losses_of_an_unbroken_one(tmp_path):
    whole = LineTask()
    run_loop(whole, options(tmp_path / "whole", steps=200), notify=lambda line: None)
    broken = LineTask(poison_at=150)
    with pytest.raises(NonFiniteLossError, match="step 150"):
        run_loop(broken, options(tmp_path / "parts", steps=200), notify=lambda line: None)
    resumed = LineTask()
    run_loop(resumed, options(tmp_path / "parts", steps=200, resume=True), notify=lambda line: None)
    assert resumed.losses == pytest.approx(whole.losses[100:], rel=1e-5)


def test_falls_back_to_the_previous_checkpoint(tmp_path):
    checkpoints = CheckpointFolder(tmp_path)
    save_checkpoint(checkpoints, {"step": 1})
    save_checkpoint(checkpoints, {"step": 2})
    assert load_checkpoint(tmp_path)["step"] == 2
    (tmp_path / LATEST).write_bytes(b"torn")
    said = []
    assert load_checkpoint(tmp_path, said.append)["step"] == 1 and "cannot be read" in said[0]
    with pytest.raises(InputError, match="no checkpoint found"):
        load_checkpoint(tmp_path / "empty")


def test_average_follows_the_weights_and_swaps_back():
    layer = nn.Linear(2, 2)
    average = WeightAverage(layer, 0.5)
    before = layer.weight.detach().clone()
    with torch.no_grad():
        layer.weight += 1
    average.update(layer, 100)
    average.swap(layer)
    assert torch.allclose(layer.weight, before + 0.5)
    average.swap(layer)
    assert torch.allclose(layer.weight, before + 1)


def test_rate_warms_up_and_falls():
    assert cosine_rate(0, 0.0) == pytest.approx(0.01) and cosine_rate(100, 0.0) == pytest.approx(1.0)
    assert cosine_rate(5000, 0.5) == pytest.approx(0.51) and cosine_rate(9999, 1.0) == pytest.approx(0.02)


def test_a_limit_is_needed(tmp_path):
    with pytest.raises(InputError, match="--seconds or --steps"):
        TrainOptions("depth", tmp_path)
    for height in (250, 0, -32):
        with pytest.raises(InputError, match="multiples of 32"):
            TrainOptions("depth", tmp_path, steps=1, height=height)


@pytest.mark.parametrize(
    "choice",
    [{"steps": 0}, {"seconds": 0.0}, {"steps": 1, "batch": 0}, {"steps": 1, "pool": -1}, {"seconds": math.nan}],
)
def test_limits_and_counts_are_positive(tmp_path, choice):
    with pytest.raises(InputError, match="is not positive"):
        TrainOptions("depth", tmp_path, **choice)
    with pytest.raises(InputError, match="negative"):
        TrainOptions("depth", tmp_path, steps=1, workers=-1)


def test_named_parameters_learn_slowly_and_vectors_do_not_decay():
    task = LineTask()
    task.weight_decay, task.slow_prefixes = 0.1, ("bias",)
    rates = {id(p): (g["base_lr"], g["weight_decay"]) for g in parameter_groups(task) for p in g["params"]}
    assert rates[id(task.network.weight)] == (0.05, 0.1)
    assert rates[id(task.network.bias)] == (pytest.approx(0.05 * SLOW_FACTOR), 0.0)
