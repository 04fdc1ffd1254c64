"""Keeps a loss or gradient that is not a number away from the weights, without making the host wait for the device."""

import math
from pathlib import Path

import torch
from torch import Tensor

from lyra.structures import InputError

STEPS_BETWEEN_LOOKS = 10
"""On a GPU, reading a number stops the host until the device has caught up."""


class NonFiniteLossError(InputError):
    """The loss or the gradient was not a number; the weights are those of the step before."""


class FiniteGuard:
    """Remembers the first bad step on the device; from it on the optimiser takes no step.

    A fused optimiser reads the decision on the device (its ``found_inf``), and the host looks every few steps. Any
    other one, and every optimiser on the CPU, is stopped by looking at once.
    """

    def __init__(self, optimizer: torch.optim.Optimizer, device: torch.device, out: Path) -> None:
        self.optimizer, self.out = optimizer, out
        self.at_once = device.type != "cuda" or not optimizer.defaults.get("fused")
        self.first_bad = torch.tensor([-1.0, 0.0, 0.0], device=device)

    def watch(self, step: int, loss: Tensor, norm: Tensor) -> None:
        """Take note of the loss and the gradient norm that the optimiser is about to follow.

        Raises:
            NonFiniteLossError: one of them is not a number, or was in one of the last steps.
        """
        if self.at_once:
            numbers = (float(loss), float(norm))
            if not all(math.isfinite(number) for number in numbers):
                raise self._error(step, *numbers)
            return
        seen = torch.stack([torch.full_like(self.first_bad[0], step), loss.float(), norm.float()])
        good = torch.isfinite(seen).all() | (self.first_bad[0] >= 0)
        self.first_bad = torch.where(good, self.first_bad, seen)
        self.optimizer.found_inf = (self.first_bad[0] >= 0).float()  # type: ignore[attr-defined]
        if step % STEPS_BETWEEN_LOOKS == 0:
            self.look()

    def look(self) -> None:
        """Read the device's note; to be called before weights are saved or used.

        Raises:
            NonFiniteLossError: there was a bad step since the last look.
        """
        step, loss, norm = self.first_bad.tolist()
        if step >= 0:
            raise self._error(int(step), loss, norm)

    def _error(self, step: int, loss: float, norm: float) -> NonFiniteLossError:
        return NonFiniteLossError(
            f"loss {loss:g} with gradient {norm:g} at step {step} is not a number, and the step was not taken; "
            f"go on from the last checkpoint in {self.out} with --resume and a lower --rate or another --seed"
        )
