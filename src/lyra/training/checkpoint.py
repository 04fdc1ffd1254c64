"""Checkpoints that a run can go on from: written beside the old one, then renamed; the previous one is kept."""

import os
import tempfile
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lyra.structures import InputError

LATEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"


def save_checkpoint(folder: Path, state: dict[str, Any]) -> Path:
    """Write ``state`` (tensors and plain values) atomically; the last good checkpoint survives a crash."""
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, suffix=".part")
    os.close(handle)
    part = Path(name)
    try:
        torch.save(state, part)
        latest = folder / LATEST
        if latest.exists():
            latest.replace(folder / PREVIOUS)
        part.replace(latest)
    finally:
        part.unlink(missing_ok=True)
    return folder / LATEST


def load_checkpoint(folder: Path, notify: Any = print) -> dict[str, Any]:
    """Read the newest readable checkpoint of a run, tensors and plain values only.

    Raises:
        InputError: there is none, or none can be read.
    """
    problems = []
    for name in (LATEST, PREVIOUS):
        path = folder / name
        if not path.exists():
            continue
        try:
            state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
        except (RuntimeError, OSError, EOFError, ValueError, LookupError, UnpicklingError) as fault:
            problems.append(f"{name}: {fault}")
            notify(f"checkpoint {name} cannot be read, trying the previous one")
            continue
        return state
    reason = "; ".join(problems) or "no checkpoint found"
    raise InputError(f"cannot resume from {folder}: {reason}; start without --resume")
