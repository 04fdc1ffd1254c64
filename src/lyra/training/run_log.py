"""What a run tells while it trains: lines to the console and to ``log.jsonl``, pictures, TensorBoard if installed."""

import json
import time
from collections.abc import Callable, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.io.files import replacing
from lyra.io.images import save_image
from lyra.training.run_layout import LOG, TENSORBOARD

SHEET_COLUMNS = 6


class RunLog:
    """The log of one run in its folder; only an ``active`` one writes.

    Args:
        out: folder of the run.
        notify: receives each line.
        active: whether this process is the one that tells.
        first_step: what an earlier process logged from this step on is dropped: it will be done again.
    """

    def __init__(self, out: Path, notify: Callable[[str], None], active: bool, first_step: int = 0) -> None:
        self.out, self.notify, self.active = out, notify if active else _silent, active
        self.last: tuple[int, float] | None = None
        self.board: Any = None
        if not active:
            return
        out.mkdir(parents=True, exist_ok=True)
        _cut_lines(out / LOG, first_step)
        if find_spec("tensorboard") is not None:
            from torch.utils.tensorboard import SummaryWriter

            self.board = SummaryWriter(str(out / TENSORBOARD), purge_step=first_step)

    def numbers(self, step: int, elapsed: float, left: float | None, samples: int, values: Mapping[str, float]) -> None:
        """One line: speed since the line before, time left, and the numbers of this step.

        Args:
            step: that was done.
            elapsed: seconds of training before it.
            left: seconds to the end of the run, if that can be told.
            samples: examples in a step of all processes together.
            values: to log.
        """
        if not self.active:
            return
        now = time.perf_counter()
        rate = (step - self.last[0]) / (now - self.last[1]) if self.last else 0.0
        self.last = (step, now)
        speed = {"samples": samples, "samples_per_second": round(rate * samples, 3)}
        record = {"step": step, "seconds": round(elapsed, 2), **speed, **values}
        with (self.out / LOG).open("a") as stream:
            stream.write(json.dumps(record) + "\n")
        if self.board is not None:
            for name, value in list(record.items())[1:]:
                self.board.add_scalar(name, value, step)
        pace = f"{rate:.1f} steps/s, {rate * samples:.0f} samples/s" if rate else "first step"
        ending = "" if left is None else f", {_clock(left)} left"
        text = " ".join(f"{name} {value:.4f}" for name, value in values.items())
        self.notify(f"step {step}, {_clock(elapsed)}, {pace}{ending}: {text}")

    def pictures(self, step: int, sheet: Tensor | None) -> None:
        """Save a sheet [N, 3, H, W] 0…1, six pictures to a row."""
        if not self.active or sheet is None:
            return
        columns = min(len(sheet), SHEET_COLUMNS)
        rows = [torch.cat(list(sheet[i : i + columns]), dim=2) for i in range(0, len(sheet), columns)]
        picture = torch.cat([row for row in rows if row.shape == rows[0].shape], dim=1).float().clamp(0, 1).cpu()
        save_image(self.out / f"step_{step:06d}.png", picture)
        if self.board is not None:
            self.board.add_image("input_target_output", picture, step)

    def close(self) -> None:
        """Write what TensorBoard still holds back."""
        if self.board is not None:
            self.board.close()


def _cut_lines(path: Path, first_step: int) -> None:
    if not path.is_file():
        return
    kept = []
    for line in path.read_text().splitlines():
        try:
            if json.loads(line)["step"] < first_step:
                kept.append(line + "\n")
        except (ValueError, LookupError, TypeError):
            continue  # the last line of a killed process may be torn
    with replacing(path, "log") as part:
        part.write_text("".join(kept))


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(max(seconds, 0)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"


def _silent(line: str) -> None:
    """Say nothing."""
