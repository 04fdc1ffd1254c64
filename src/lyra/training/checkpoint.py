"""Checkpoints that a run can go on from: written beside the old one, then renamed; the previous one is kept."""

import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

import torch

from lyra.structures import InputError

LATEST, PREVIOUS = "checkpoint.pt", "checkpoint.previous.pt"

UNREADABLE = (RuntimeError, OSError, EOFError, ValueError, LookupError, UnpicklingError)
"""What reading a torn or foreign file raises."""


class CheckpointFolder:
    """The checkpoints of one run: the newest, the one before, and whatever other processes left.

    Only what this object wrote is ever removed. What an earlier process wrote is renamed to ``checkpoint.kept-N`` when
    its place is needed, and what cannot be read to ``checkpoint.damaged-N``, so that it never replaces a good one.

    Args:
        folder: of the run.
        suffix: of the checkpoints' names.
        active: whether this process may write and rename; of several only one may.
    """

    def __init__(self, folder: Path, suffix: str = ".pt", active: bool = True) -> None:
        self.folder, self.suffix, self.active = folder, suffix, active
        self.latest, self.previous = folder / f"checkpoint{suffix}", folder / f"checkpoint.previous{suffix}"
        self._own: set[Path] = set()

    def require_none(self) -> None:
        """Refuse a folder in which a new run would mix with an old one.

        Raises:
            InputError: it holds checkpoints.
        """
        if found := self.candidates():
            raise InputError(
                f"{self.folder} holds the checkpoint {found[0].name} of an earlier run; add --resume to go on with it, "
                "or choose another folder with --out"
            )

    def candidates(self) -> list[Path]:
        """Checkpoints to try, best first."""
        kept = sorted(self.folder.glob(f"checkpoint.kept-*{self.suffix}"), key=lambda path: -path.stat().st_mtime)
        return [path for path in (self.latest, self.previous, *kept) if path.exists()]

    @contextmanager
    def writing(self) -> Iterator[Path]:
        """A path to write the next checkpoint to, a file or a folder; it becomes the newest once it is complete."""
        self.folder.mkdir(parents=True, exist_ok=True)
        part = self.folder / f".checkpoint.{secrets.token_hex(4)}.part"
        try:
            yield part
            self.accept(part)
        finally:
            remove(part)

    def accept(self, part: Path) -> None:
        """Make the complete checkpoint ``part`` the newest."""
        if self.latest.exists():
            if self.previous in self._own:
                remove(self.previous)
            elif self.previous.exists():
                self.previous.rename(self._free("kept"))
            self.latest.rename(self.previous)
            self._own = {self.previous} if self.latest in self._own else set()
        part.rename(self.latest)
        self._own.add(self.latest)

    def first_readable(self, read: Callable[[Path], Any], notify: Callable[[str], None]) -> Any:
        """What ``read`` makes of the newest checkpoint that it can read.

        Raises:
            InputError: there is none, or none can be read.
        """
        problems = []
        for path in self.candidates():
            try:
                return read(path)
            except UNREADABLE as fault:
                aside = path.rename(self._free("damaged")) if self.active else path
                words = str(fault).splitlines()[0] if str(fault) else type(fault).__name__
                problems.append(f"{path.name}: {words}")
                notify(f"checkpoint {path.name} cannot be read, trying the previous one; it is now {aside.name}")
        reason = "; ".join(problems) or "no checkpoint found"
        raise InputError(f"cannot resume from {self.folder}: {reason}; start without --resume")

    def _free(self, kind: str) -> Path:
        number = 1
        while (path := self.folder / f"checkpoint.{kind}-{number}{self.suffix}").exists():
            number += 1
        return path


def save_checkpoint(checkpoints: CheckpointFolder, state: dict[str, Any]) -> Path:
    """Write ``state`` (tensors and plain values) atomically; the last good checkpoint survives a crash."""
    with checkpoints.writing() as part, part.open("wb") as stream:
        torch.save(state, stream)
        stream.flush()
        os.fsync(stream.fileno())
    return checkpoints.latest


def load_checkpoint(folder: Path, notify: Callable[[str], None] = print, active: bool = True) -> dict[str, Any]:
    """Read the newest readable checkpoint of a run, tensors and plain values only; ``active`` as above.

    Raises:
        InputError: there is none, or none can be read.
    """

    def read(path: Path) -> dict[str, Any]:
        state = torch.load(path, map_location="cpu", weights_only=True)
        if not isinstance(state, dict):
            raise ValueError("holds something else")
        return state

    state: dict[str, Any] = CheckpointFolder(folder, active=active).first_readable(read, notify)
    return state


def remove(path: Path) -> None:
    """Delete a file or a folder, if it is there."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
