"""The training loop: rate, loss, stop if not finite, backward, clip, step, average, log, checkpoint. In that order."""

import json
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator

from lyra.io.images import save_image
from lyra.training.checkpoint import load_checkpoint, save_checkpoint
from lyra.training.ema import WeightAverage
from lyra.training.options import TrainOptions
from lyra.training.task import Task, cosine_rate

GRADIENT_LIMIT = 1.0
SLOW_FACTOR = 0.05


class NonFiniteLossError(RuntimeError):
    """The loss was not a number; the weights are those of the step before."""


def run_loop(task: Task, options: TrainOptions, notify: Callable[[str], None] = print) -> Path:
    """Train ``task`` until its limit, then score, pack and return the weight file.

    Raises:
        NonFiniteLossError: before the optimiser would have taken the step.
        InputError: nothing to resume from.
    """
    torch.manual_seed(options.seed)
    on_gpu = task_device(task).type == "cuda"
    accelerator = Accelerator(mixed_precision="bf16" if on_gpu else "no", cpu=not on_gpu)
    optimizer = torch.optim.AdamW(_groups(task), lr=task.learning_rate, betas=(0.9, 0.99), eps=1e-8, fused=on_gpu)
    average = WeightAverage(task.network, task.ema_decay)
    step, elapsed = _restore(task, optimizer, average, options) if options.resume else (0, 0.0)
    wrapped, optimizer = accelerator.prepare(task.network, optimizer)
    task.use(wrapped)
    options.out.mkdir(parents=True, exist_ok=True)
    log = _Log(options, notify, accelerator.is_main_process)
    began = time.perf_counter() - elapsed

    def save() -> None:
        if accelerator.is_main_process:
            state = {
                "network": task.network.state_dict(),
                "optimizer": optimizer.optimizer.state_dict(),
                "average": average.state_dict(),
                "step": step,
                "elapsed": time.perf_counter() - began,
            }
            save_checkpoint(options.out, state)

    while True:
        progress = _progress(options, step, time.perf_counter() - began)
        if progress >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = group["base_lr"] * cosine_rate(step, progress)
        with accelerator.autocast():
            loss, numbers = task.loss(step, progress)
        accelerator.backward(loss)
        norm = accelerator.clip_grad_norm_(task.network.parameters(), GRADIENT_LIMIT)
        if not math.isfinite(float(loss.detach()) + float(norm)):
            raise NonFiniteLossError(
                f"loss {float(loss.detach())} or gradient {float(norm)} at step {step}; lower the rate"
            )
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        average.update(task.network, step)
        if step % options.log_every == 0:
            log.numbers(step, progress, time.perf_counter() - began, {"loss": loss, "gradient": norm, **numbers})
        if step == 0 and not options.resume:
            began = time.perf_counter()  # compiling and tuning happen in the first step and cost no training time
        step += 1
        if step % options.image_every == 0:
            log.pictures(step, task)
        if step % options.save_every == 0:
            save()
    save()
    average.swap(task.network)
    task.network.eval()
    scores: dict[str, float] = {}
    if options.score:
        log.pictures(step, task)
        scores = task.scores()
    seconds = time.perf_counter() - began
    recipe = {"options": options.as_record(), "steps": step, "seconds": round(seconds, 1)}
    notify(f"{options.task}: {step} steps in {seconds:.0f} s, {json.dumps(scores)}")
    return task.pack(options.out, recipe, scores)


def task_device(task: Task) -> torch.device:
    """Where the network of a task lives."""
    return next(task.network.parameters()).device


def _groups(task: Task) -> list[dict[str, Any]]:
    """Matrices decay, vectors do not; parameters under ``slow_prefixes`` learn at a twentieth of the rate."""
    groups: dict[tuple[bool, bool], list[torch.nn.Parameter]] = {}
    for name, parameter in task.network.named_parameters():
        if parameter.requires_grad:
            kind = (parameter.ndim >= 2, name.startswith(task.slow_prefixes))
            groups.setdefault(kind, []).append(parameter)
    return [
        {
            "params": parameters,
            "weight_decay": task.weight_decay if matrix else 0.0,
            "lr": task.learning_rate,
            "base_lr": task.learning_rate * (SLOW_FACTOR if slow else 1.0),
        }
        for (matrix, slow), parameters in groups.items()
    ]


def _progress(options: TrainOptions, step: int, elapsed: float) -> float:
    parts = []
    if options.steps is not None:
        parts.append(step / options.steps)
    if options.seconds is not None:
        parts.append(elapsed / options.seconds)
    return max(parts)


def _restore(
    task: Task, optimizer: torch.optim.Optimizer, average: WeightAverage, options: TrainOptions
) -> tuple[int, float]:
    state = load_checkpoint(options.out)
    task.network.load_state_dict(state["network"])
    optimizer.load_state_dict(state["optimizer"])
    average.load_state_dict(state["average"])
    return int(state["step"]), float(state["elapsed"])


class _Log:
    """Lines to the console and to ``log.jsonl``; pictures as PNG beside it."""

    def __init__(self, options: TrainOptions, notify: Callable[[str], None], active: bool) -> None:
        self.folder, self.notify, self.active = options.out, notify, active
        self.last: tuple[int, float] | None = None

    def numbers(self, step: int, progress: float, elapsed: float, values: dict[str, Any]) -> None:
        """One line; tensors are read here, once per line, so the loop itself never waits for the device."""
        if not self.active:
            return
        record = {k: round(float(v.detach() if isinstance(v, torch.Tensor) else v), 5) for k, v in values.items()}
        rate = (step - self.last[0]) / (elapsed - self.last[1]) if self.last else 0.0
        self.last = (step, elapsed)
        left = f", {elapsed / progress - elapsed:.0f} s left" if progress > 0 else ""
        with (self.folder / "log.jsonl").open("a") as stream:
            stream.write(json.dumps({"step": step, "seconds": round(elapsed, 2), **record}) + "\n")
        text = " ".join(f"{key} {value:.4f}" for key, value in record.items())
        self.notify(f"step {step} {rate:.1f}/s{left}: {text}")

    def pictures(self, step: int, task: Task) -> None:
        """Save the sheet of the task."""
        if not self.active:
            return
        with torch.no_grad():
            sheet = task.pictures()
        if sheet is not None:
            columns = min(len(sheet), 6)
            rows = [torch.cat(list(sheet[i : i + columns]), dim=2) for i in range(0, len(sheet), columns)]
            rows = [row for row in rows if row.shape == rows[0].shape]
            save_image(self.folder / f"step_{step:06d}.png", torch.cat(rows, dim=1).float().clamp(0, 1).cpu())
