"""The loop with a task small enough to solve: it learns, stops and goes on to the same numbers, refuses bad losses."""

import json
import math
import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch import nn

from lyra.structures import InputError
from lyra.training import loop
from lyra.training.checkpoint import LATEST, load_checkpoint
from lyra.training.ema import WeightAverage
from lyra.training.finite_guard import STEPS_BETWEEN_LOOKS, FiniteGuard
from lyra.training.loop import SLOW_FACTOR, NonFiniteLossError, run_loop
from lyra.training.loop import _groups as parameter_groups
from lyra.training.options import TrainOptions
from lyra.training.seeds import STEP, seed_everything
from lyra.training.task import Task, cosine_rate

CPU = torch.device("cpu")


class LineTask(Task):
    """Fit y = 3x - 1; batches follow from the seed of the step."""

    batch = 32
    learning_rate, weight_decay, ema_decay = 0.05, 0.0, 0.9

    def __init__(self, poison_at: int | None = None, during: Callable[[int], None] = lambda step: None) -> None:
        torch.manual_seed(0)
        self.network: nn.Module = nn.Linear(1, 1)
        self.poison_at, self.during = poison_at, during
        self.losses: list[float] = []
        self.progress: list[float] = []

    def loss(self, step, progress):
        x = torch.randn(self.batch, 1)
        loss = (self.wrapped(x) - (3 * x - 1)).square().mean()
        if step == self.poison_at:
            loss = loss * float("nan")
        self.losses.append(float(loss.detach()))
        self.progress.append(progress)
        self.during(step)
        return loss, {"loss_again": loss.detach()}

    def pictures(self):
        return torch.rand(3, 3, 8, 8)

    def scores(self):
        return {"slope": float(self.network.weight.detach())}

    def pack(self, folder: Path, recipe, scores):
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "packed.txt"
        path.write_text(f"{recipe['steps']} {float(self.network.weight.detach()):.4f} {recipe['progress']}")
        return path


def quiet(line: str) -> None:
    """Take a log line and say nothing."""


def options(tmp_path: Path, **changes) -> TrainOptions:
    often = {"log_every": 50, "image_every": 200, "save_every": 100}
    return TrainOptions("depth", tmp_path, device="cpu", **{**often, **changes})


def test_learns_and_writes_log_pictures_and_weights(tmp_path):
    task = LineTask()
    packed = run_loop(task, options(tmp_path, steps=300), quiet)
    assert abs(float(packed.read_text().split()[1]) - 3) < 0.02 and packed.read_text().startswith("300 ")
    assert task.losses[-1] < 1e-3 * task.losses[0]
    assert len((tmp_path / "log.jsonl").read_text().splitlines()) == 6
    assert (tmp_path / "step_000200.png").is_file() and (tmp_path / LATEST).is_file()


def test_the_seconds_of_a_run_are_those_of_training_without_its_scores(tmp_path, monkeypatch):
    clock, said, records = [0.0], [], []
    monkeypatch.setattr(loop.time, "perf_counter", lambda: clock[0])

    class Judged(LineTask):
        def scores(self):
            clock[0] += 1000.0
            return super().scores()

        def pack(self, folder, recipe, scores):
            records.append(recipe)
            return super().pack(folder, recipe, scores)

    def tick(step: int) -> None:
        clock[0] += 1.0

    run_loop(Judged(during=tick), options(tmp_path, steps=11), said.append)
    (line,) = (line for line in said if line.startswith("depth: "))
    assert "11 steps in 10 s" in line  # the first step does not count
    assert records[0]["seconds"] == 10 and records[0]["progress"] == 1


def same(one, other) -> bool:
    """Whether two checkpoints hold the same values, bit for bit."""
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list):
        return len(one) == len(other) and all(map(same, one, other))
    return one == other


def learned(folder: Path) -> dict:
    """What a checkpoint holds, without the clock and the choices."""
    state = load_checkpoint(folder)
    return {key: state[key] for key in ("network", "optimizer", "average", "step", "stage")}


def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(tmp_path):
    whole = LineTask()
    run_loop(whole, options(tmp_path / "whole", steps=200), quiet)
    broken = LineTask(poison_at=150)
    with pytest.raises(NonFiniteLossError, match="step 150 is not a number"):
        run_loop(broken, options(tmp_path / "parts", steps=200), quiet)
    assert load_checkpoint(tmp_path / "parts")["step"] == 100
    said = []
    resumed = LineTask()
    run_loop(resumed, options(tmp_path / "parts", steps=200, resume=True), said.append)
    assert resumed.losses == whole.losses[100:]
    assert same(learned(tmp_path / "parts"), learned(tmp_path / "whole"))
    assert any("going on from step 100" in line for line in said)
    # another seed is another run, and it is said
    other = LineTask()
    run_loop(other, options(tmp_path / "parts", steps=210, seed=1, resume=True), said.append)
    assert len(other.losses) == 10 and "note: seed was 0, is now 1" in said


def test_a_bad_loss_leaves_the_weights_of_the_step_before(tmp_path):
    task = LineTask(poison_at=7)
    before = []
    task.during = lambda step: before.append([p.detach().clone() for p in task.network.parameters()])
    with pytest.raises(NonFiniteLossError, match="--resume and a lower --rate"):
        run_loop(task, options(tmp_path, steps=20), quiet)
    assert same(before[-1], [p.detach() for p in task.network.parameters()]) and len(before) == 8


def test_on_a_device_the_optimiser_stands_still_until_the_host_looks(tmp_path):
    """The path of GPUs, where the decision is read from the device by the fused optimiser itself."""
    weight = nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW([weight], lr=0.1, fused=True)
    guard = FiniteGuard(optimizer, CPU, tmp_path)
    guard.at_once = False

    def step(number: int, loss: float) -> None:
        weight.grad = torch.ones(3)
        guard.watch(number, torch.tensor(loss), torch.tensor(1.0))
        optimizer.step()

    step(1, 0.5)
    moved = weight.detach().clone()
    assert not torch.equal(moved, torch.ones(3))
    step(2, math.inf)
    step(3, math.nan)
    step(4, 0.5)  # a good one after the bad ones is not taken either
    assert torch.equal(weight.detach(), moved) and float(optimizer.state[weight]["step"]) == 1
    with pytest.raises(NonFiniteLossError, match=r"loss inf .* at step 2 "):
        step(STEPS_BETWEEN_LOOKS, 0.5)


def test_one_budget_over_three_commands(tmp_path, monkeypatch):
    """Every step takes a second of a clock of our own; the first of each command only starts it."""
    now = [0.0]

    def tick(step: int) -> None:
        now[0] += 1

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    seen, packed = [], []
    for command in range(3):
        task = LineTask(during=tick)
        choice = options(tmp_path, seconds=30.0, stop_after=10.0, resume=command > 0)
        packed.append(run_loop(task, choice, quiet).read_text().split())
        seen.append(task.progress)
    assert [len(progress) for progress in seen] == [11, 11, 11]
    for command, progress in enumerate(seen):
        assert progress[1:] == pytest.approx([(10 * command + i) / 30 for i in range(10)])
    assert [words[0] for words in packed] == ["11", "22", "33"]
    assert [float(words[2]) for words in packed] == pytest.approx([1 / 3, 2 / 3, 1], abs=1e-3)
    assert load_checkpoint(tmp_path)["elapsed"] == pytest.approx(30)
    over = LineTask()
    run_loop(over, options(tmp_path, seconds=30.0, resume=True), quiet)
    assert not over.losses  # a finished run is packed again, nothing more


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_the_step_end_and_saves(tmp_path, number):
    before = signal.getsignal(number)
    task = LineTask(during=lambda step: os.kill(os.getpid(), number) if step == 5 else None)
    with pytest.raises(KeyboardInterrupt):
        run_loop(task, options(tmp_path, steps=50), quiet)
    assert load_checkpoint(tmp_path)["step"] == 6 and len(task.losses) == 6
    assert signal.getsignal(number) is before


def test_a_new_run_does_not_mix_with_an_old_one(tmp_path):
    run_loop(LineTask(), options(tmp_path, steps=2), quiet)
    with pytest.raises(InputError, match="add --resume"):
        run_loop(LineTask(), options(tmp_path, steps=2), quiet)
    with pytest.raises(InputError, match="a run of task depth, not decoder"):
        run_loop(LineTask(), TrainOptions("decoder", tmp_path, device="cpu", steps=2, resume=True), quiet)
    wide = LineTask()
    wide.network = nn.Linear(2, 2)
    with pytest.raises(InputError, match="of another network"):
        run_loop(wide, options(tmp_path, steps=2, resume=True), quiet)


def test_two_micro_batches_are_one_batch_of_twice_the_size(tmp_path):
    """Against plain Adam on the mean of the two losses, whose seeds are those of (step, micro-batch)."""
    task = LineTask()
    run_loop(task, options(tmp_path, steps=5, accumulate=2, log_every=1), quiet)
    assert len(task.losses) == 10
    lines = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    pairs = zip(task.losses[::2], task.losses[1::2], strict=True)
    assert [line["loss"] for line in lines] == pytest.approx([(a + b) / 2 for a, b in pairs], abs=1e-5)
    plain = LineTask()
    optimizer = torch.optim.AdamW(plain.network.parameters(), lr=0.05, betas=(0.9, 0.99), weight_decay=0.0)
    plain.use(plain.network)
    for step in range(5):
        losses = []
        for micro in range(2):
            seed_everything(STEP, 0, step, micro)
            losses.append(plain.loss(step, 0.0)[0])
        optimizer.zero_grad()
        torch.stack(losses).mean().backward()
        norm = nn.utils.clip_grad_norm_(plain.network.parameters(), 1.0)
        assert lines[step]["gradient"] == pytest.approx(float(norm), abs=1e-4)
        optimizer.param_groups[0]["lr"] = 0.05 * cosine_rate(step, step / 5)
        optimizer.step()
    assert torch.allclose(plain.network.weight, load_checkpoint(tmp_path)["network"]["weight"], atol=1e-6)


def test_lines_tell_speed_and_time_left(tmp_path, monkeypatch):
    now = [0.0]

    def tick(step: int) -> None:
        now[0] += 2

    monkeypatch.setattr(loop.time, "perf_counter", lambda: now[0])
    said: list[str] = []
    run_loop(LineTask(during=tick), options(tmp_path, steps=101, log_every=50), said.append)
    (line,) = [line for line in said if line.startswith("step 50,")]
    assert "0.5 steps/s, 16 samples/s" in line and "1:40 left" in line  # 49 counted steps are done, 51 are left
    record = json.loads((tmp_path / "log.jsonl").read_text().splitlines()[1])
    assert record["samples_per_second"] == 16 and record["seconds"] == 98


def test_tensorboard_gets_numbers_and_pictures(tmp_path):
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    run_loop(LineTask(), options(tmp_path, steps=200), quiet)
    events = accumulator.EventAccumulator(str(tmp_path / "tensorboard"))
    events.Reload()
    assert [event.step for event in events.Scalars("loss")] == [0, 50, 100, 150]
    (sheet, *_) = events.Images("input_target_output")
    assert sheet.step == 200 and (sheet.width, sheet.height) == (24, 8)


def test_lines_that_are_done_again_are_dropped(tmp_path):
    run_loop(LineTask(), options(tmp_path, steps=100, log_every=10), quiet)
    with (tmp_path / "log.jsonl").open("a") as stream:
        stream.write('{"step": 100, "loss": 1.0}\n{"step": 110, "lo')  # a killed process went on without saving
    run_loop(LineTask(), options(tmp_path, steps=130, log_every=10, resume=True), quiet)
    steps = [json.loads(line)["step"] for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert steps == list(range(0, 130, 10))


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
