"""The training loop: rate, loss, backward, clip, stop if not finite, step, average, log, checkpoint. In that order."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from lyra.hub import config_to_dict
from lyra.structures import InputError
from lyra.training.checkpoint import CheckpointFolder, load_checkpoint, save_checkpoint
from lyra.training.ema import WeightAverage
from lyra.training.finite_guard import FiniteGuard, NonFiniteLossError
from lyra.training.options import TrainOptions
from lyra.training.processes import Agreement, StopRequest, rank_and_size, start_accelerator
from lyra.training.run_layout import STAGES
from lyra.training.run_log import RunLog
from lyra.training.seeds import STEP, seed_everything
from lyra.training.sharding import ShardedCheckpoints, gathered, shard, whole
from lyra.training.task import Task, rate_factor

__all__ = ["NonFiniteLossError", "run_loop"]

GRADIENT_LIMIT = 1.0
SLOW_FACTOR = 0.05
SAVE_SECONDS = 120.0
"""A checkpoint is due after this time, however few steps it held."""


def run_loop(
    task: Task, options: TrainOptions, notify: Callable[[str], None] = print, state: dict[str, Any] | None = None
) -> Path:
    """Train ``task`` until its limit, then score, pack and return the weight file.

    Where ``options.stop_after`` or a signal ends the run before its limit, the network is packed as it stands, without
    scores, and the checkpoint goes on from there.

    Args:
        task: what to train.
        options: limits, seed, folder.
        notify: receives each log line.
        state: the checkpoint to go on from, if the caller has read it already.

    Raises:
        NonFiniteLossError: before the optimiser would have taken the step.
        InputError: nothing to resume from, or something else than this task.
        KeyboardInterrupt: somebody asked the run to stop; its checkpoint is written.
    """
    return _Run(task, options, notify, state).finish()


class _Run:
    """One command's part of a run, from the checkpoint it begins with to the weights it leaves."""

    def __init__(
        self, task: Task, options: TrainOptions, notify: Callable[[str], None], state: dict[str, Any] | None
    ) -> None:
        self.task, self.options = task, options
        self.device = task_device(task)
        self.accelerator = start_accelerator(self.device)
        self.agreement = Agreement()
        self.rank, self.size = rank_and_size()
        self.notify = notify if self.rank == 0 else _silent
        torch.manual_seed(options.seed)
        self.network: nn.Module = shard(task) if options.shard else self.accelerator.prepare(task.network)
        task.use(self.network)
        self.optimizer = torch.optim.AdamW(
            _groups(task), lr=task.learning_rate, betas=task.betas, eps=1e-8, fused=not options.shard
        )
        self.average = WeightAverage(task.network, task.ema_decay)
        self.guard = FiniteGuard(self.optimizer, self.device, options.out)
        self.step, self.before, self.stage = 0, 0.0, ""
        self._open(state)
        self.log = RunLog(options.out, notify, self.rank == 0, self.step)
        self.began = time.perf_counter()
        self.first = True
        self.saved_at, self.saved_step = self.before, self.step

    def _open(self, state: dict[str, Any] | None) -> None:
        """Find the checkpoints, and go on from the newest one if that was asked."""
        options = self.options
        self.checkpoints = CheckpointFolder(options.out)
        self.sharded = ShardedCheckpoints(options.out, self.agreement) if options.shard else None
        if not options.resume:
            (self.sharded.folder if self.sharded else self.checkpoints).require_none()
            self.agreement.wait()  # before the first process writes one
            return
        if self.sharded is not None:
            state = self.sharded.load(self.task.network, self.optimizer, self.average, self.notify)
        else:
            state = state or load_checkpoint(options.out, self.notify, active=self.rank == 0)
            _restore(state, self.task, self.optimizer, self.average)
        self.step, self.before, self.stage = int(state["step"]), float(state["elapsed"]), str(state["stage"])
        _compare(state, options, self.notify)
        self.notify(f"going on from step {self.step}, {self.before:.0f} s of training")

    def finish(self) -> Path:
        """Train to the limit, or to where this command is to stop; then pack."""
        request = StopRequest()
        with request.listening():
            ending = self._train(request)
            if self.step > self.saved_step:
                self._save(self.elapsed)
        if ending == "asked":
            self.log.close()
            raise KeyboardInterrupt
        return self._pack(ending == "done")

    @property
    def elapsed(self) -> float:
        """Seconds of training so far, those of earlier commands included."""
        return self.before + time.perf_counter() - self.began

    def _train(self, request: StopRequest) -> Literal["done", "paused", "asked"]:
        """Step until the limit, or until this command is to end before it."""
        options, task = self.options, self.task
        until = float("inf") if options.stop_after is None else self.before + options.stop_after
        while True:
            elapsed, asked = self.agreement.on(self.elapsed, float(request.asked))
            progress = _progress(options, self.step, elapsed)
            if progress >= 1:
                return "done"
            if asked:
                return "asked"
            if elapsed >= until:
                return "paused"
            if (name := task.stage(progress)) != self.stage:
                self._enter(name, elapsed, progress)
            self._one_step(elapsed, progress)
            if self.first:  # compiling and tuning happen in the first step and cost no training time
                self.began, self.first = time.perf_counter(), False
            self.step += 1
            if self.step % options.image_every == 0:
                self._pictures()
            if self.step % options.save_every == 0 or elapsed - self.saved_at > SAVE_SECONDS:
                self._save(elapsed)

    def _one_step(self, elapsed: float, progress: float) -> None:
        options, task = self.options, self.task
        for group in self.optimizer.param_groups:
            group["lr"] = group["base_lr"] * rate_factor(task.schedule, self.step, progress)
        losses, terms = [], []
        for micro in range(options.accumulate):
            seed_everything(STEP, options.seed, self.step, self.rank * options.accumulate + micro)
            with self._synchronised(micro + 1 == options.accumulate):
                with self.accelerator.autocast():
                    loss, numbers = task.loss(self.step, progress)
                self.accelerator.backward(loss / options.accumulate)
            losses.append(loss.detach())
            terms.append(numbers)
        norm = whole(nn.utils.clip_grad_norm_(task.network.parameters(), GRADIENT_LIMIT))
        self.guard.watch(self.step, torch.stack(losses).mean(), norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(task.network, self.step)
        if self.step % options.log_every == 0:
            columns = {name: [numbers[name] for numbers in terms] for name in terms[0]}
            self._tell(elapsed, progress, {"loss": losses, "gradient": [norm], **columns})

    @contextlib.contextmanager
    def _synchronised(self, last: bool) -> Iterator[None]:
        """Gradients travel between the processes with the last micro-batch only."""
        if last or self.options.shard:
            yield
        else:
            with self.accelerator.no_sync(self.network):
                yield

    def _tell(self, elapsed: float, progress: float, columns: dict[str, list[Any]]) -> None:
        """Log the mean over micro-batches and processes; the only place that reads numbers from the device."""
        rows = ([_scalar(value, self.device) for value in values] for values in columns.values())
        means = torch.stack([torch.stack(row).mean() for row in rows])
        if self.size > 1:
            means = self.accelerator.reduce(means, "mean")
        values = {name: round(value, 5) for name, value in zip(columns, means.tolist(), strict=True)}
        left = elapsed / progress - elapsed if progress > 0 else None
        samples = self.task.batch * self.options.accumulate * self.size
        self.log.numbers(self.step, elapsed, left, samples, values)

    def _enter(self, name: str, elapsed: float, progress: float) -> None:
        """A stage begins: say so, and keep the network that the stage before it ends with."""
        if self.stage:
            self._save(elapsed)
            with self._averaged():
                self._write(self.options.out / STAGES / self.stage, {}, elapsed)
        self.stage = name
        self.notify(f"stage {name} begins at step {self.step}, {100 * progress:.0f} % of the run")

    def _save(self, elapsed: float) -> None:
        self.guard.look()
        self.saved_at, self.saved_step = elapsed, self.step
        state = {
            "step": self.step,
            "elapsed": elapsed,
            "stage": self.stage,
            "config": config_to_dict(self.task.network.config) if hasattr(self.task.network, "config") else None,
            "options": self.options.as_record(),
        }
        if self.sharded is not None:
            self.sharded.save(state, self.task.network, self.optimizer, self.average)
        elif self.rank == 0:
            tensors = {
                "network": self.task.network.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "average": self.average.state_dict(),
            }
            save_checkpoint(self.checkpoints, tensors | state)

    def _pictures(self) -> None:
        if self.rank == 0 or self.options.shard:  # a sharded network computes with all processes or not at all
            with torch.no_grad():
                sheet = self.task.pictures()
            self.log.pictures(self.step, sheet)

    @contextlib.contextmanager
    def _averaged(self) -> Iterator[None]:
        """Inside, the weights are the average."""
        self.average.swap(self.task.network)
        self.task.network.eval()
        yield
        self.task.network.train()
        self.average.swap(self.task.network)

    def _pack(self, done: bool) -> Path:
        """Score a finished run; write the averaged weights of any."""
        scores: dict[str, float] = {}
        seconds = self.elapsed  # of training, which the scores are not
        with self._averaged():
            if done and self.options.score:
                self._pictures()
                if self.rank == 0 or self.options.shard:
                    scores = self.task.scores()
            self.notify(f"{self.options.task}: {self.step} steps in {seconds:.0f} s, {json.dumps(scores)}")
            packed = self._write(self.options.out, scores, seconds)
        if not done:
            self.notify(f"stopped before its limit; the same command with --resume goes on at step {self.step}")
        self.log.close()
        self.agreement.wait()
        return packed

    def _write(self, folder: Path, scores: dict[str, float], seconds: float) -> Path:
        """Pack the current weights after ``seconds`` of training; every process learns the path, process 0 writes."""
        recipe = {
            "options": self.options.as_record(),
            "steps": self.step,
            "seconds": round(seconds, 1),
            "progress": round(min(_progress(self.options, self.step, seconds), 1.0), 3),
            "processes": self.size,
        }
        own = self.task.network
        if self.options.shard:
            self.task.network = gathered(own)
        try:
            return self.task.pack(folder, recipe, scores) if self.rank == 0 else folder
        finally:
            self.task.network = own


def task_device(task: Task) -> torch.device:
    """Where the network of a task lives."""
    return next(task.network.parameters()).device


def _groups(task: Task) -> list[dict[str, Any]]:
    """Matrices decay, vectors only by choice; parameters under ``slow_prefixes`` learn at a twentieth of the rate."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in task.network.named_parameters():
        if parameter.requires_grad:
            kind = (task.decay_vectors or parameter.ndim >= 2, name.startswith(task.slow_prefixes))
            groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": task.weight_decay if decays else 0.0,
            "lr": task.learning_rate,
            "base_lr": task.learning_rate * (SLOW_FACTOR if slow else 1.0),
        }
        for (decays, slow), parameters in groups.items()
    ]


def _progress(options: TrainOptions, step: int, elapsed: float) -> float:
    parts = []
    if options.steps is not None:
        parts.append(step / options.steps)
    if options.seconds is not None:
        parts.append(elapsed / options.seconds)
    return max(parts)


def _restore(state: dict[str, Any], task: Task, optimizer: torch.optim.Optimizer, average: WeightAverage) -> None:
    """Put the tensors of a checkpoint in place.

    Raises:
        InputError: they belong to another network.
    """
    try:
        task.network.load_state_dict(state["network"])
        rates = [group["base_lr"] for group in optimizer.param_groups]
        optimizer.load_state_dict(state["optimizer"])
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["base_lr"] = rate  # a resumed run may ask for another rate
        average.load_state_dict(state["average"])
    except (RuntimeError, KeyError, ValueError) as fault:
        words = str(fault).splitlines()[0]
        raise InputError(f"the checkpoint is of another network ({words}); give its --recipe or --out") from fault


def _compare(state: dict[str, Any], options: TrainOptions, notify: Callable[[str], None]) -> None:
    """Say in which of the choices that change what is learned the resumed run differs.

    Raises:
        InputError: the checkpoint belongs to another task.
    """
    before, now = state["options"], options.as_record()
    if before["task"] != now["task"]:
        raise InputError(f"{options.out} holds a run of task {before['task']}, not {now['task']}; give another --out")
    for name in ("recipe", "seed", "batch", "accumulate", "height", "width", "rate"):
        if before.get(name) != now[name]:
            notify(f"note: {name} was {before.get(name)}, is now {now[name]}")


def _scalar(value: float | Tensor, device: torch.device) -> Tensor:
    return torch.as_tensor(value, device=device).detach().float()


def _silent(line: str) -> None:
    """Say nothing."""
