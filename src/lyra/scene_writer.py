"""A finished scene as a folder of files, and the record that reproduces it."""

import json
import platform
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra import __version__
from lyra.clock import Clock
from lyra.geometry.tour import smooth_tour
from lyra.hub import config_to_dict
from lyra.io.candidate_sheet import candidate_sheet
from lyra.io.contact_sheet import contact_sheet
from lyra.io.scene_folder import CAMERAS_FILE, SceneFolder, cameras_to_json, save_scene, write_run
from lyra.nn import uses_bfloat16
from lyra.raster import render
from lyra.results import FirstPicture, Progress, Result, StageReport, Wording
from lyra.stages import Candidate
from lyra.structures import Scene, Trajectory

PREVIEW_FRAMES = 48
PREVIEW_FPS = 16.0
_AT_A_TIME = 8


def write_result(
    result: Result,
    out: Path,
    overwrite: bool = False,
    progress: Progress | None = None,
    extra: Callable[[Path, Scene, Sequence[Trajectory]], None] | None = None,
) -> None:
    """Write the scene folder: ``scene.ply``, ``preview.mp4``, ``contact_sheet.png``, ``cameras.json``, ``run.json``.

    The folder appears complete or not at all.

    Args:
        result: what to write.
        out: the folder.
        overwrite: replace a scene that is already there.
        progress: is told how long it took.
        extra: writes more into the folder; it gets the folder, the scene and the trajectories.

    Raises:
        InputError: ``out`` exists and may not be replaced.
    """
    from lyra.io.video import write_video  # evaluation runs without a video library

    clock = Clock(progress or (lambda report: None), result.latents.z.device)
    with SceneFolder(out, overwrite=overwrite) as folder, ThreadPoolExecutor(1) as beside:
        with clock.stage("write"):
            scene = replace(result.scene.to("cpu"), provenance=_provenance(result))
            save_scene(folder, scene)
            preview = beside.submit(write_video, folder.path / "preview.mp4", _preview(result), PREVIEW_FPS)
            length = result.frames.shape[1]
            some = torch.tensor([length // 2, length - 1])
            contact_sheet(
                folder.path / "contact_sheet.png",
                result.views.to("cpu"),
                [c.trajectory.name for c in result.conditionings],
                [c.warped[some].cpu() for c in result.conditionings],
                [f[some].cpu() for f in result.frames],
                [result.rendered(view, some).rgb.cpu() for view in range(len(result.conditionings))],
                [result.preset.kept[frame] for frame in some],
                result.rerender.rgb[0].cpu(),
            )
            if result.first is not None:
                shown = [(candidate.rgb.cpu(), _candidate_label(candidate)) for candidate in result.first.candidates]
                candidate_sheet(folder.path / "candidates.png", shown, result.first.chosen)
            cameras_file = folder.path / CAMERAS_FILE
            record = json.loads(cameras_file.read_text())
            record["trajectories"] = {path.name: _path_record(path) for path in result.latents.trajectories}
            cameras_file.write_text(json.dumps(record))
            if extra is not None:
                extra(folder.path, scene, [path.to("cpu") for path in result.latents.trajectories])
            preview.result()
        write_run(folder.path, _run_record(result, clock.done))


def _preview(result: Result) -> Tensor:
    """[T, 3, H, W] uint8, a tour through the scene as fine as it is, drawn a few pictures at a time."""
    tour, drawn = smooth_tour(result.scene.source, PREVIEW_FRAMES), replace(result.preset.render, depth=False)
    parts = []
    for start in range(0, len(tour), _AT_A_TIME):
        rgb = render(result.scene.gaussians[0], tour[slice(start, start + _AT_A_TIME)], drawn).rgb
        parts.append((rgb.clamp(0, 1) * 255).round().byte().cpu())
    return torch.cat(parts)


def _path_record(trajectory: Trajectory) -> dict[str, Any]:
    return {"strength": trajectory.strength, **cameras_to_json(trajectory.cameras)}


def _candidate_label(candidate: Candidate) -> str:
    agreement = "" if candidate.agreement is None else f", agreement {candidate.agreement:.2f} %"
    return f"seed {candidate.seed}{agreement}"


def _provenance(result: Result) -> dict[str, Any]:
    """What the scene was made of and by which networks."""
    record: dict[str, Any] = {"models": result.models, "photo": result.name}
    if result.wording is not None:
        record["prompt"] = result.wording.text.prompt
    return record


def _text_record(wording: Wording) -> dict[str, Any]:
    return {
        "prompt": wording.text.prompt,
        "negative": None if wording.negative is None else wording.negative.prompt,
        "guidance": wording.guidance,
        "never_seen": {unknown.word: unknown.nearest for unknown in wording.never_seen},
    }


def _first_record(first: FirstPicture) -> dict[str, Any]:
    notes = first.notes or ({},) * len(first.candidates)
    return {
        **first.source,
        "chosen": first.chosen + 1,
        "candidates": [
            {"seed": candidate.seed, "agreement_percent": candidate.agreement, **note}
            for candidate, note in zip(first.candidates, notes, strict=True)
        ],
    }


def _precision(result: Result) -> str:
    """Number format of matrix products: published networks are loaded as bfloat16 on GPUs and as float32 elsewhere."""
    device = result.latents.z.device
    own = result.preset.road == "nano"
    reduced = uses_bfloat16(device, result.options.exact) if own else device.type == "cuda"
    return "bfloat16" if reduced else "float32"


def _run_record(result: Result, written: list[StageReport]) -> dict[str, Any]:
    options = {k: str(v) if isinstance(v, Path) else v for k, v in asdict(result.options).items()}
    return {
        "lyra": __version__,
        "torch": torch.__version__,
        "python": platform.python_version(),
        "machine": platform.machine(),
        "device": str(result.latents.z.device),
        "threads": torch.get_num_threads(),
        "photo": result.name,
        "notices": list(result.photo.notices),
        "options": options,
        "precision": _precision(result),
        "preset": config_to_dict(result.preset),
        "text": None if result.wording is None else _text_record(result.wording),
        "first_picture": None if result.first is None else _first_record(result.first),
        "trajectories": [{"name": path.name, "strength": path.strength} for path in result.latents.trajectories],
        "fov_degrees": round(float(result.views.cameras.fov_x[0]) * 57.29577951308232, 2),
        "gaussians": len(result.scene.gaussians[0]),
        "dropped": result.dropped,
        "stages": [asdict(stage) for stage in [*result.stages, *written]],
    }
