"""``lyra film``: the video network alone, along one camera path of any length."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_file
from lyra.cli.progress import StageLines
from lyra.cli.sizes import seconds

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True)
class Film:
    """Let a published video network film a photo along one camera path, as long as you like.

    lyra film photo.jpg --model models/lyra --trajectory left -o left.mp4
    lyra film photo.jpg --model models/lyra --trajectory zoom_in --chunks 3 -o far.mp4
    """

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """The photo."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Video to write (.mp4)."""
    model: Annotated[Path, arg(metavar="FOLDER")]
    """Model folder made by `lyra models import-official`."""
    trajectory: str = "left"
    """left, right, up, down, zoom_out, zoom_in, clockwise or counterclockwise."""
    chunks: int = 1
    """Clips in a row, of 121 frames each; each begins with the last frame of the one before (241 frames for 2)."""
    strength: float = 1.0
    """Factor on how far the camera moves in all."""
    seed: int = 0
    """Seed of the noise."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps of each clip."""
    quality: Literal["published", "balanced", "draft"] = "published"
    """As published, or with fewer network passes."""
    memory: Annotated[str, arg(metavar="auto|GIB")] = "auto"
    """How much memory of the device may be used; by default all that is free."""
    eight_bits: bool = False
    """Store the teacher's large weights in 8 bits."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""

    def run(self) -> int:
        """Check, load, imagine chunk by chunk, write."""
        start = time.perf_counter()
        require_device(self.device)
        require_output_file(self.out, (".mp4",))

        from lyra.cli.preflight import require_readable_inputs
        from lyra.cli.published import PublishedChoices, gibibytes
        from lyra.geometry.trajectories import TRAJECTORY_NAMES
        from lyra.io.video import write_video
        from lyra.published import LoadOptions, quality_of
        from lyra.results import GenerateOptions
        from lyra.structures import InputError

        if self.trajectory not in TRAJECTORY_NAMES:
            raise InputError(f"unknown trajectory '{self.trajectory}'; choose from {', '.join(TRAJECTORY_NAMES)}")
        if not 1 <= self.chunks <= 100:
            raise InputError(f"{self.chunks} chunks are outside 1…100")
        options = GenerateOptions(seed=self.seed, steps=self.steps, strength=self.strength, device=self.device)
        fast = quality_of(self.quality).fast
        load = LoadOptions(self.device, gibibytes(self.memory), self.eight_bits, fast=fast, share=True)
        choices = PublishedChoices(self.model, load, self.quality, (None, None))
        preset = choices.preset(options)
        notices = require_readable_inputs(self.photo, options, preset)
        if choices.follows():
            for _ in choices.open().film(self.photo, self.trajectory, self.chunks, options):
                pass
            return 0
        with StageLines() as lines:
            for notice in notices:
                lines.note(notice)
            pipeline = choices.open(lines.note)
            chunks = pipeline.film(self.photo, self.trajectory, self.chunks, options, lines)
            write_video(self.out, _frames(chunks), preset.fps)
        print(f"video      {self.out}")
        print(f"time       {seconds(time.perf_counter() - start)} in all")
        return 0

    def interrupted(self) -> str:
        """The video appears only at the end."""
        return "nothing was written"


def _frames(chunks: "Iterator[Tensor]") -> "Tensor":
    """[T, 3, H, W] uint8: a long film in a quarter of the memory."""
    import torch

    return torch.cat([(chunk * 255).to(torch.uint8) for chunk in chunks])
