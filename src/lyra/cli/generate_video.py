"""``lyra generate`` of a video."""

import time
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from lyra.cli.progress import StageLines
from lyra.cli.scene_page import write_page
from lyra.cli.sizes import mebibytes, seconds

if TYPE_CHECKING:
    from lyra.cli.generate import Generate
    from lyra.video import VideoOptions

_NOT_OF_VIDEOS = (
    "depth", "detail", "prompt", "negative", "guidance", "candidates", "choose", "image_model", "model", "quality",
    "memory", "eight_bits", "size", "text", "negative_text", "share_clips", "force",
)  # fmt: skip


def run_video(command: "Generate", start: float) -> int:
    """Check everything, load the networks, make the moving scene."""
    options = _options(command)

    from lyra.pipeline import Pipeline
    from lyra.preset import nano
    from lyra.results import StageReport
    from lyra.video import produce
    from lyra.video.produce import check_video

    assert command.photo is not None
    check_video(command.photo, options, nano().grid, command.four_d)
    with StageLines() as lines:
        lines(StageReport("load"))
        before = time.perf_counter()
        networks = Pipeline.load(command.device)
        lines(StageReport("load", time.perf_counter() - before, detail=f"networks on {networks.device}"))
        record = produce(
            command.photo, command.out, networks, options, command.overwrite, lines, write_page, command.four_d,
            lines.note,
        )  # fmt: skip
    _report(command, record, time.perf_counter() - start)
    return 0


def _options(command: "Generate") -> "VideoOptions":
    from lyra.structures import InputError
    from lyra.video import VideoOptions

    usual = {field.name: field.default for field in fields(command)}
    given = [name for name in _NOT_OF_VIDEOS if getattr(command, name) != usual[name]]
    if given:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        raise InputError(f"{flags} do not work with a video; leave them out")
    return VideoOptions(
        start=command.start,
        frames=command.frames,
        stride=command.stride,
        cameras="auto" if command.cameras is None else str(command.cameras),
        times=command.times,
        fps=command.fps,
        **command.choices_of_both(),
    )


def _report(command: "Generate", record: dict[str, Any], total: float) -> None:
    from lyra.clock import peak_memory_mib

    counts = record["gaussians"]
    print(f"scene      {command.out}")
    dropped = max(record["dropped"])
    left = f", up to {dropped:,} that show least were dropped" if dropped else ""
    print(f"times      {len(counts)}, {min(counts):,} to {max(counts):,} Gaussians each{left}")
    print(f"time       {seconds(total)} in all")
    print(f"memory     {mebibytes(peak_memory_mib())} at the peak")
