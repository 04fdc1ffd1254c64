"""What the loop asks of a task."""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn


class Task(Protocol):
    """One network to train, with its data and its loss.

    Attributes:
        network: the trained module; the loop may wrap it, and hands the wrapped one back through ``use``.
        learning_rate, weight_decay: of AdamW.
        ema_decay: memory of the weight average.
        slow_prefixes: beginnings of parameter names that learn at a small fraction of the rate.
    """

    network: nn.Module
    learning_rate: float
    weight_decay: float
    ema_decay: float
    slow_prefixes: tuple[str, ...]

    def use(self, network: nn.Module) -> None:
        """Take the (possibly wrapped) network for the following calls of ``loss``."""

    def loss(self, step: int, progress: float) -> tuple[Tensor, dict[str, float | Tensor]]:
        """Draw a batch and return its loss and the numbers to log; ``progress`` runs from 0 to 1."""

    def pictures(self) -> Tensor | None:
        """[N, 3, H, W] 0…1, a sheet that shows how training stands, or ``None``."""

    def scores(self) -> dict[str, float]:
        """Scores on validation data with the current weights."""

    def pack(self, folder: Path, recipe: dict[str, Any], scores: dict[str, float]) -> Path:
        """Write the network in the embedded layout under ``folder``; returns the weight file."""


def cosine_rate(step: int, progress: float, warmup: int = 100) -> float:
    """Learning-rate factor: linear warm-up over ``warmup`` steps, then half a cosine down to 2 % at progress 1."""
    fall = 0.02 + 0.98 * 0.5 * (1 + float(torch.cos(torch.tensor(torch.pi * min(progress, 1.0)))))
    return min(1.0, (step + 1) / warmup) * fall
