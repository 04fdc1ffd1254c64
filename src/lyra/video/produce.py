"""A video file becomes a scene folder, chunk by chunk; what is done stays done."""

import json
import math
import os
import platform
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra import __version__
from lyra.clock import Clock
from lyra.freed_memory import return_freed_memory
from lyra.geometry import intrinsics_from_fov
from lyra.hub import config_to_dict
from lyra.io.contact_sheet import contact_sheet
from lyra.io.formats.fourdgs import require_fourdgs, write_4dgs
from lyra.io.images import PhotoFit, fit_photo
from lyra.io.ply import read_ply
from lyra.io.scene_folder import CAMERAS_FILE, FRAMES_FOLDER, SCENE_FILE, SceneFolder, cameras_to_json, write_run
from lyra.io.source_cameras import SourceCameras, read_source_cameras
from lyra.io.video import write_video
from lyra.io.video_clip import ClipPlan, plan_clip, read_clip
from lyra.pipeline import MODELS, Pipeline, model_records
from lyra.raster import render
from lyra.results import Progress, StageReport
from lyra.stages import still_cameras
from lyra.structures import Cameras, InputError, Scene, Trajectory
from lyra.video.chunks import Chunk, plan_chunks
from lyra.video.films import film_moments
from lyra.video.options import CAMERA_WORDS, VideoOptions
from lyra.video.road import MovingChunk, MovingRoad
from lyra.video.workshop import Workshop, fingerprint

_SHEET = "contact_sheet.png"
_SHOWN = (8, 16)
_MOST_IN_PAGE = 17
_MOST_IN_4DGS = 64

Page = Callable[[Path, Scene, Sequence[Trajectory]], None]


def check_video(
    video: Path, options: VideoOptions, size: Callable[[int, int], tuple[int, int]], four_d: bool = False
) -> ClipPlan:
    """Read all that can be wrong before networks are loaded.

    Raises:
        InputError: as `plan_clip`, `read_source_cameras`, times that lie behind the end, too many for one file, or a
            package that is missing.
    """
    plan = plan_clip(video, options.start, options.frames, options.stride)
    moments = options.moments(_clock_times(plan))
    if four_d:
        require_fourdgs("scene.4dgs")
        if len(moments) > _MOST_IN_4DGS:
            raise InputError(f"{len(moments)} times are too many for one .4dgs file; give --times {_MOST_IN_4DGS}")
    height, width = size(plan.width, plan.height)
    _given_cameras(options, plan, height, width)
    if options.cameras == "colmap":
        from lyra.io.colmap_run import require_pycolmap

        require_pycolmap()
    return plan


def produce(
    video: Path,
    out: Path,
    networks: Pipeline,
    options: VideoOptions,
    overwrite: bool = False,
    progress: Progress | None = None,
    page: Page | None = None,
    four_d: bool = False,
    note: Callable[[str], None] | None = None,
) -> dict[str, Any]:
    """Make a scene folder of a video.

    Finished chunks lie in a hidden folder beside ``out`` until the scene is whole; the same call goes on after them.

    Args:
        video: the file.
        out: folder that appears complete or not at all.
        networks: loaded.
        options: of the caller.
        overwrite: replace a scene that is there.
        progress: told about each stage.
        page: writes ``scene.html``.
        four_d: also write ``scene.4dgs``.
        note: told sentences for the user.

    Returns:
        What ``run.json`` holds.

    Raises:
        InputError: anything wrong with the video, the files beside it, or the options.
    """
    say = note or (lambda words: None)
    SceneFolder(out, overwrite=overwrite).check()
    plan = check_video(video, options, networks.preset.grid, four_d)
    for words in plan.notices:
        say(words)
    size = networks.preset.grid(plan.width, plan.height)
    clock = Clock(progress or (lambda report: None), networks.device)
    times = _clock_times(plan)
    moments = options.moments(times)
    models = model_records(MODELS)
    chunks = plan_chunks(len(plan), networks.preset.frames)
    workshop = Workshop(out, fingerprint(video, options, models))
    try:
        _make_chunks(chunks, plan, options, networks, size, moments, workshop, clock, say)
    except BaseException:
        workshop.leave()
        raise
    with SceneFolder(out, overwrite=overwrite) as folder:
        with clock.stage("write"):
            record = _write(
                folder.path, workshop, chunks, plan, times, moments, networks, options, page, four_d, say, video.name
            )
        record["stages"] = [*record["stages"], *(asdict(report) for report in clock.done if report.name == "write")]
        write_run(folder.path, record)
    workshop.clear()
    return record


def _make_chunks(
    chunks: tuple[Chunk, ...],
    plan: ClipPlan,
    options: VideoOptions,
    networks: Pipeline,
    size: tuple[int, int],
    moments: tuple[int, ...],
    workshop: Workshop,
    clock: Clock,
    say: Callable[[str], None],
) -> None:
    """Put every chunk that is not there from before into the workshop."""
    road = _road(plan, options, networks, size, workshop, say)
    done = sum(workshop.has(chunk.number) for chunk in chunks)
    if done:
        say(f"{done} of {len(chunks)} chunks are there from before; going on")
    said = set(plan.notices)
    for chunk in chunks:
        if workshop.has(chunk.number):
            continue
        label = f"chunk {chunk.number + 1} of {len(chunks)}: " if len(chunks) > 1 else ""
        shared = chunks[chunk.number + 1].shared if chunk.number + 1 < len(chunks) else 0
        with clock.stage(f"{label}read"):
            clip = read_clip(plan, *size, options.fit, chunk.first, chunk.count)
        for words in clip.notices:
            if words not in said:
                say(words)
                said.add(words)
        before, K = workshop.handover(chunk.number - 1, networks.device, size) if chunk.number else (None, None)
        reports = len(clock.done)
        wanted = [frame for frame in moments if frame in chunk.own]
        made = _run(road, chunk, clip.frames.rgb.to(networks.device), wanted, before, K, shared, clock, label)
        say(f"{label}{made.path.words}")
        sheet = workshop.folder / _SHEET
        _write_sheet(sheet, made, networks)
        record: dict[str, Any] = {
            "frames": [chunk.first, chunk.first + chunk.count - 1],
            "decoded": clip.decoded,
            "cameras": {"kind": made.path.kind, "sureness": round(made.path.sureness, 3), "words": made.path.words},
            "moments": [moment.frame for moment in made.moments],
            "gaussians": [len(moment.gaussians) for moment in made.moments],
            "dropped": [moment.dropped for moment in made.moments],
            "trajectories": {path.name: _path(path) for path in made.trajectories},
            "source_path": cameras_to_json(made.views.cameras[: chunk.count]),
            "stages": [asdict(report) for report in clock.done[reports:]],
            "notices": list(clip.notices),
        }
        workshop.put(made, made.views.cameras.K[0], record, sheet)
        del made, clip, before
        return_freed_memory()


def _clock_times(plan: ClipPlan) -> tuple[float, ...]:
    """Seconds of the frames from the first one on, rising even where a picture is shown twice."""
    return tuple(index / plan.rate for index in range(len(plan)))


def _fit_of(plan: ClipPlan, options: VideoOptions, size: tuple[int, int]) -> PhotoFit:
    return fit_photo(torch.zeros(3, plan.height, plan.width), *size, options.fit)[1]


def _given_cameras(options: VideoOptions, plan: ClipPlan, height: int, width: int) -> SourceCameras | None:
    """Cameras out of files, where options name some."""
    if options.cameras in CAMERA_WORDS:
        return None
    lens = torch.tensor([[float(width), 0, width / 2], [0, float(width), height / 2], [0, 0, 1]])
    fitted = still_cameras(1, lens, height, width)
    return read_source_cameras(options.cameras, plan.numbers, fitted, _fit_of(plan, options, (height, width)))


def _road(
    plan: ClipPlan,
    options: VideoOptions,
    networks: Pipeline,
    size: tuple[int, int],
    workshop: Workshop,
    say: Callable[[str], None],
) -> MovingRoad:
    fov = math.radians(options.fov) if options.fov is not None else None
    road = MovingRoad(networks, options, fov=fov, length=networks.preset.frames)
    if options.cameras == "colmap":
        found = _colmap_cameras(plan, options, fov, size, workshop)
        if found is None:
            say("COLMAP could not place every frame; the cameras are estimated instead")
            return road
        return replace(road, cameras=found, scaled=False, given_words="cameras by COLMAP")
    given = _given_cameras(options, plan, *size)
    if given is None:
        return road
    cameras = given.cameras
    if fov is not None or not given.intrinsics:
        angle = torch.tensor(fov) if fov is not None else _seen_fov(plan, options, road, size)
        K = intrinsics_from_fov(angle.cpu(), *size)
        cameras = replace(cameras, K=K.expand(len(cameras), 3, 3).contiguous().to(cameras.c2w))
    return replace(road, cameras=cameras, scaled=given.scaled, given_words=given.words)


def _seen_fov(plan: ClipPlan, options: VideoOptions, road: MovingRoad, size: tuple[int, int]) -> Tensor:
    """Field of view in radians that the depth network sees in the first frame."""
    rgb = read_clip(plan, *size, options.fit, 0, 1).frames.rgb
    return road.perceive(rgb.to(road.networks.device))[1]


def _colmap_cameras(
    plan: ClipPlan, options: VideoOptions, fov: float | None, size: tuple[int, int], workshop: Workshop
) -> Cameras | None:
    """COLMAP's cameras, the same when a run goes on: its scale is another one each time."""
    from lyra.io.colmap_run import cameras_by_colmap

    found = workshop.cameras(size)
    if found is None:
        K = intrinsics_from_fov(torch.tensor(fov), *size) if fov is not None else None
        found = cameras_by_colmap(plan, *size, options.fit, K)
        if found is not None:
            workshop.keep(found)
    return found


def _run(
    road: MovingRoad, chunk: Chunk, rgb: Any, wanted: list[int], before: Any, K: Any, shared: int, clock: Clock,
    label: str,
) -> MovingChunk:  # fmt: skip
    steps = road.options.steps or road.networks.teacher.config.steps
    total = steps * len(road.options.trajectories or road.networks.preset.trajectories)
    done = count(1)  # clips advance side by side

    def on_step(view: int, step: int) -> None:
        clock.tell(StageReport(f"{label}imagine", detail=f"{next(done)}/{total}"))

    return road.run(chunk, rgb, wanted, before, K, shared, lambda name: clock.stage(f"{label}{name}"), on_step)


def _write_sheet(path: Path, made: MovingChunk, networks: Pipeline) -> None:
    """The contact sheet of a chunk."""
    shown = [min(frame, made.frames.shape[1] - 1) for frame in _SHOWN]
    renders = []
    for trajectory in made.trajectories:
        pictures = []
        for frame in shown:
            if not made.moments:
                pictures.append(torch.zeros_like(made.views.frames.rgb[0]))
                continue
            moment = min(made.moments, key=lambda each: abs(each.frame - made.chunk.first - frame))
            pictures.append(render(moment.gaussians, trajectory.cameras[frame], networks.preset.render).rgb[0])
        renders.append(torch.stack(pictures).cpu())
    again = None
    if made.moments:
        first = made.moments[0]
        again = render(first.gaussians, first.source, networks.preset.render).rgb[0].cpu()
    contact_sheet(
        path,
        made.views.to("cpu"),
        [trajectory.name for trajectory in made.trajectories],
        [told.warped[shown].cpu() for told in made.conditionings],
        [clip[shown].cpu() for clip in made.frames],
        renders,
        [made.chunk.first + frame for frame in shown],
        again,
    )


def _path(trajectory: Trajectory) -> dict[str, Any]:
    return {"strength": trajectory.strength, **cameras_to_json(trajectory.cameras)}


def _write(
    root: Path,
    workshop: Workshop,
    chunks: tuple[Chunk, ...],
    plan: ClipPlan,
    times: tuple[float, ...],
    moments: tuple[int, ...],
    networks: Pipeline,
    options: VideoOptions,
    page: Page | None,
    four_d: bool,
    say: Callable[[str], None],
    name: str,
) -> dict[str, Any]:
    """Fill the scene folder from the finished chunks."""
    height, width = networks.preset.grid(plan.width, plan.height)
    records = [workshop.record(chunk.number) for chunk in chunks]
    files = [
        workshop.path(chunk.number) / f"{frame:06d}.ply"
        for chunk, record in zip(chunks, records, strict=True)
        for frame in record["moments"]
    ]
    parts = [workshop.sources(chunk.number, (height, width)) for chunk in chunks]
    sources = Cameras(torch.cat([p.c2w for p in parts]), torch.cat([p.K for p in parts]), height, width)
    middle = len(moments) // 2
    seconds = [times[frame] for frame in moments]
    if len(files) > 1:
        (root / FRAMES_FOLDER).mkdir()
        for index, file in enumerate(files):
            _take(file, root / FRAMES_FOLDER / f"{index:03d}.ply")
    _take(files[middle], root / SCENE_FILE)
    provenance = {"models": model_records(MODELS), "photo": name, "video": name}
    holder = next(number for number, record in enumerate(records) if moments[middle] in record["moments"])
    cameras = {
        **cameras_to_json(sources[0]),
        "times": seconds if len(files) > 1 else [0.0],
        "source_path": cameras_to_json(sources),
        "trajectories": records[holder]["trajectories"],
    }
    (root / CAMERAS_FILE).write_text(json.dumps(cameras), encoding="utf-8")
    shutil.copyfile(workshop.path(holder) / _SHEET, root / _SHEET)
    films = film_moments(files, read_ply, sources[middle], networks.device, networks.preset.render)
    fps = options.fps or plan.rate
    write_video(root / "preview.mp4", films.both, fps)
    write_video(root / "bullet_time.mp4", films.bullet, max(fps, 12.0))
    write_video(root / "fixed_camera.mp4", films.fixed, fps)
    chosen = [round(i * (len(files) - 1) / max(min(len(files), _MOST_IN_PAGE) - 1, 1)) for i in
              range(min(len(files), _MOST_IN_PAGE))]  # fmt: skip
    if page is not None:
        sets = tuple(read_ply(files[index]) for index in chosen)
        scene = Scene(sets, sources[0], tuple(seconds[index] for index in chosen), provenance)
        page(root, scene, [_trajectory(name, values) for name, values in records[holder]["trajectories"].items()])
        if len(chosen) < len(files):
            say(f"scene.html shows {len(chosen)} of the {len(files)} times; frames/ holds all")
    if four_d and len(files) > 1:
        everything = Scene(tuple(read_ply(file) for file in files), sources[0], tuple(seconds), provenance)
        write_4dgs(root / "scene.4dgs", everything)
    return {
        "lyra": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "device": str(networks.device),
        "threads": torch.get_num_threads(),
        "video": {
            "file": name, "rate": round(plan.rate, 3), "stride": plan.stride, "frames": len(plan),
            "start": plan.times[0], "end": plan.times[-1], "width": plan.width, "height": plan.height,
        },
        "notices": list(dict.fromkeys([*plan.notices, *(n for record in records for n in record["notices"])])),
        "options": asdict(options),
        "preset": config_to_dict(networks.preset),
        "provenance": provenance,
        "times": seconds,
        "cameras": [record["cameras"] for record in records],
        "chunks": [{key: record[key] for key in ("frames", "decoded", "moments")} for record in records],
        "gaussians": [count for record in records for count in record["gaussians"]],
        "dropped": [count for record in records for count in record["dropped"]],
        "stages": [report for record in records for report in record["stages"]],
    }  # fmt: skip


def _trajectory(name: str, values: dict[str, Any]) -> Trajectory:
    from lyra.io.scene_folder import cameras_from_json

    return Trajectory(name, cameras_from_json(values), values.get("strength"))


def _take(source: Path, target: Path) -> None:
    """Another name for a finished file, or a copy where the disk has no such names."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)
