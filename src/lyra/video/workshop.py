"""What finished chunks leave on disk until the scene is whole: an interrupted run goes on where it stopped."""

import hashlib
import json
import os
import secrets
import shutil
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lyra import __version__
from lyra.io.files import reason, replacing
from lyra.io.ply import write_ply
from lyra.structures import Cameras, Gaussians, InputError
from lyra.video.options import CAMERA_WORDS, VideoOptions
from lyra.video.road import Handover, MovingChunk

_STATE, _RECORD, _PLAN, _CAMERAS = "state.safetensors", "chunk.json", "plan.json", "cameras.safetensors"
_FIELDS = tuple(field.name for field in fields(Gaussians))


def fingerprint(video: Path, options: VideoOptions, models: dict[str, Any]) -> str:
    """What a run depends on: the video, files of cameras, the options, the networks and the version."""
    facts = [__version__, *map(_state, _files(video)), asdict(options), models]
    if options.cameras not in CAMERA_WORDS:
        facts += map(_state, _files(Path(options.cameras)))
    return hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode()).hexdigest()


def _files(path: Path) -> list[Path]:
    """A file, or all files below a folder."""
    return sorted(each for each in path.rglob("*") if each.is_file()) if path.is_dir() else [path]


def _state(file: Path) -> tuple[str, int, int]:
    found = file.stat()
    return str(file.resolve()), found.st_size, found.st_mtime_ns


class Workshop:
    """A hidden folder beside the target that holds finished chunks.

    Args:
        target: the scene folder that will be made.
        key: `fingerprint` of the run; chunks of another run are thrown away.
    """

    def __init__(self, target: Path, key: str) -> None:
        target = target.resolve()
        self.folder = target.with_name(f".{target.name}.chunks")
        try:
            if not self._is_ours(key):
                shutil.rmtree(self.folder, ignore_errors=True)
            self._made = [each for each in self.folder.parents if not each.exists()]
            self.folder.mkdir(parents=True, exist_ok=True)
            (self.folder / _PLAN).write_text(json.dumps({"run": key}), encoding="utf-8")
        except OSError as error:
            raise InputError(f"cannot write {self.folder} ({reason(error)}); choose another place") from error

    def _is_ours(self, key: str) -> bool:
        try:
            found: dict[str, Any] = json.loads((self.folder / _PLAN).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return False
        return isinstance(found, dict) and found.get("run") == key

    def path(self, number: int) -> Path:
        """Folder of a chunk."""
        return self.folder / f"{number:04d}"

    def has(self, number: int) -> bool:
        """Whether a chunk is finished."""
        return (self.path(number) / _RECORD).is_file()

    def put(self, made: MovingChunk, K: torch.Tensor, record: dict[str, Any], sheet: Path | None) -> None:
        """Keep a finished chunk; its folder appears complete or not at all."""
        part = self.folder / f".{secrets.token_hex(4)}"
        part.mkdir()
        try:
            for moment in made.moments:
                write_ply(part / f"{moment.frame:06d}.ply", moment.gaussians.to("cpu"))
            handover = made.handover
            tensors = {"depth": handover.depth, "c2w": handover.cameras.c2w, "K": K}
            tensors["factor"] = torch.tensor(handover.factor, dtype=torch.float64)
            tensors |= {f"pool.{name}": getattr(handover.pool, name) for name in _FIELDS}
            if made.moments:
                tensors["sources"] = torch.cat([moment.source.c2w for moment in made.moments])
                tensors["lenses"] = torch.cat([moment.source.K for moment in made.moments])
            save_file({name: value.cpu().contiguous() for name, value in tensors.items()}, part / _STATE)
            if sheet is not None:
                shutil.move(sheet, part / sheet.name)
            (part / _RECORD).write_text(json.dumps(record), encoding="utf-8")
            shutil.rmtree(self.path(made.chunk.number), ignore_errors=True)
            os.rename(part, self.path(made.chunk.number))
        finally:
            shutil.rmtree(part, ignore_errors=True)

    def record(self, number: int) -> dict[str, Any]:
        """What was said about a finished chunk."""
        found: dict[str, Any] = json.loads((self.path(number) / _RECORD).read_text(encoding="utf-8"))
        return found

    def handover(self, number: int, device: torch.device, size: tuple[int, int]) -> tuple[Handover, torch.Tensor]:
        """What a finished chunk handed over, and the intrinsics [3, 3].

        Raises:
            InputError: the file is damaged.
        """
        state = self._state(number)
        cameras = Cameras(state["c2w"], state["K"].expand(len(state["c2w"]), 3, 3), *size)
        pool = Gaussians(*(state[f"pool.{name}"] for name in _FIELDS))
        handed = Handover(state["depth"].to(device), cameras.to(device), pool.to(device), float(state["factor"]))
        return handed, state["K"].to(device)

    def sources(self, number: int, size: tuple[int, int]) -> Cameras:
        """Cameras of the video at the moments of a finished chunk."""
        state = self._state(number)
        empty = torch.zeros(0, 4, 4)
        return Cameras(state.get("sources", empty), state.get("lenses", empty[:, :3, :3]), *size)

    def keep(self, cameras: Cameras) -> None:
        """Keep cameras of the whole clip that would come out differently another time."""
        with replacing(self.folder / _CAMERAS, "cameras") as temporary:
            save_file({"c2w": cameras.c2w.contiguous(), "K": cameras.K.contiguous()}, temporary)

    def cameras(self, size: tuple[int, int]) -> Cameras | None:
        """What `keep` was given, None if nothing.

        Raises:
            InputError: the file is damaged.
        """
        if not (self.folder / _CAMERAS).is_file():
            return None
        kept = self._read(self.folder / _CAMERAS)
        return Cameras(kept["c2w"], kept["K"], *size)

    def _state(self, number: int) -> dict[str, torch.Tensor]:
        return self._read(self.path(number) / _STATE)

    def _read(self, path: Path) -> dict[str, torch.Tensor]:
        try:
            return load_file(path)
        except (OSError, SafetensorError) as error:
            raise InputError(f"{path} is damaged ({reason(error)}); remove {self.folder} and start again") from error

    def leave(self) -> None:
        """Remove everything, parents made for it included, unless a chunk is finished that the next run can use."""
        if any(self.folder.glob(f"[0-9]*/{_RECORD}")):
            return
        self.clear()
        for parent in self._made:
            with suppress(OSError):
                parent.rmdir()

    def clear(self) -> None:
        """Remove everything."""
        shutil.rmtree(self.folder, ignore_errors=True)
