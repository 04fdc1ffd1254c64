"""What the loop asks of a task."""

from abc import ABC, abstractmethod
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from lyra.training.options import TrainOptions
from lyra.training.pool import ExamplePool, RefreshPlan
from lyra.training.recipes import Recipe, Schedule


class Task(ABC):
    """One network to train, with its data and its loss.

    Attributes:
        network: the trained module; the loop may wrap it, and hands the wrapped one back through ``use``.
        wrapped: what ``loss`` calls.
        batch: examples in one call of ``loss``.
        learning_rate, weight_decay, betas: of AdamW.
        schedule: how the rate runs.
        decay_vectors: whether biases and gains decay, too.
        ema_decay: memory of the weight average.
        slow_prefixes: beginnings of parameter names that learn at a small fraction of the rate.
    """

    network: nn.Module
    wrapped: nn.Module
    batch: int
    learning_rate: float
    weight_decay: float
    ema_decay: float
    slow_prefixes: tuple[str, ...] = ()
    betas: tuple[float, float] = (0.9, 0.99)
    schedule: Schedule = "cosine"
    decay_vectors: bool = False

    def follow(self, recipe: Recipe, options: TrainOptions) -> None:
        """Take the numbers of a recipe, as far as the options do not say otherwise."""
        self.batch = options.batch or recipe.batch
        self.learning_rate = options.rate or recipe.learning_rate
        self.weight_decay, self.decay_vectors = recipe.weight_decay, recipe.decay_vectors
        self.ema_decay, self.betas, self.schedule = recipe.ema_decay, recipe.betas, recipe.schedule

    def use(self, network: nn.Module) -> None:
        """Take the (possibly wrapped) network for the following calls of ``loss``."""
        self.wrapped = network

    def stage(self, progress: float) -> str:
        """Name of the recipe's stage at ``progress``; empty where there is only one."""
        return ""

    @abstractmethod
    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Draw a batch and return its loss and the numbers to log; ``progress`` runs from 0 to 1.

        What is drawn follows from the seed that the loop has set and from ``step``.
        """

    @abstractmethod
    def pictures(self) -> Tensor | None:
        """[N, 3, H, W] 0…1, a sheet of inputs, targets and outputs, or ``None``."""

    @abstractmethod
    def scores(self) -> dict[str, float]:
        """Scores on validation data with the current weights."""

    @abstractmethod
    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Write ``network`` in the embedded layout under ``folder``; returns the weight file."""


class PooledTask(Task):
    """A task whose examples lie ready in a pool, which is refreshed as the steps go on.

    Attributes:
        pool: the examples.
        plan: when new ones come.
    """

    pool: ExamplePool
    plan: RefreshPlan

    @abstractmethod
    def _refresh(self, number: int) -> None:
        """Put the examples of refresh ``number`` into the pool; what they are follows from the seed and the number."""

    def _catch_up(self, until: int) -> None:
        """Make the refreshes that are due."""
        for number in self.pool.missing(until, self.plan.first):
            self._refresh(number)


WARMUP = 100


def cosine_rate(step: int, progress: float, warmup: int = WARMUP) -> float:
    """Learning-rate factor: linear warm-up over ``warmup`` steps, then half a cosine down to 2 % at progress 1."""
    fall = 0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(progress, 1.0)))))
    return constant_rate(step, warmup) * fall


def constant_rate(step: int, warmup: int = WARMUP) -> float:
    """Learning-rate factor: linear warm-up over ``warmup`` steps, then 1."""
    return min(1.0, (step + 1) / warmup)


def rate_factor(schedule: Schedule, step: int, progress: float) -> float:
    """The learning-rate factor of a schedule."""
    return cosine_rate(step, progress) if schedule == "cosine" else constant_rate(step)
