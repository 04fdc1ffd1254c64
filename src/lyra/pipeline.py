"""The road from a picture to a scene: the only place that knows the order of the stages."""

import json
import math
import platform
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lyra import __version__
from lyra.geometry.tour import smooth_tour
from lyra.hub import list_models, load_model
from lyra.io.camera_path import read_camera_path
from lyra.io.contact_sheet import contact_sheet
from lyra.io.depth_file import read_depth
from lyra.io.images import Photo, fit_photo, nano_grid, read_photo
from lyra.io.scene_folder import CAMERAS_FILE, SceneFolder, cameras_to_json, save_scene, write_run
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.teacher import Teacher
from lyra.models.tokenizer import Tokenizer
from lyra.raster import render
from lyra.stages import PerceiveConfig, RecolorConfig, cover, decode, imagine, perceive, plan, recolor, warp
from lyra.structures import (
    Conditioning,
    Frames,
    InputError,
    Latents,
    Rendering,
    Scene,
    Trajectory,
    Views,
)

FRAMES = 17
PREVIEW_FRAMES = 48
PREVIEW_FPS = 16.0
MODELS = ("depth/nano", "tokenizer/nano", "teacher/nano", "decoder/nano")


@dataclass(frozen=True)
class GenerateOptions:
    """What a caller may choose.

    Attributes:
        seed: of the movement distances and the teacher's noise.
        steps: denoising steps, ``None`` for the teacher's own number.
        trajectories: subset of the six names, ``None`` for all.
        strength: factor on every movement distance.
        fov: horizontal field of view of the photo in degrees; else EXIF, else estimated.
        depth: file with z depth of the photo, instead of the network's.
        cameras: file with one camera path to imagine in place of the named trajectories.
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        fit: ``crop`` or ``pad``, how the photo is brought to the model's shape.
        recolor: rounds that move the scene's colours towards the photo; 0 keeps the decoder's own.
    """

    seed: int = 0
    steps: int | None = None
    trajectories: tuple[str, ...] | None = None
    strength: float = 1.0
    fov: float | None = None
    depth: Path | None = None
    cameras: Path | None = None
    device: str = "auto"
    fit: Literal["crop", "pad"] = "crop"
    recolor: int = RecolorConfig().rounds

    def __post_init__(self) -> None:
        if self.steps is not None and not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed {self.seed} is outside 0…{2**31 - 1}")
        RecolorConfig(self.recolor)
        if self.fit not in ("crop", "pad"):
            raise InputError(f"fit '{self.fit}' is unknown; choose crop or pad")
        if self.cameras is not None and self.trajectories is not None:
            raise InputError("give either named trajectories or a camera file, not both")


@dataclass(frozen=True)
class StageReport:
    """One finished (or, with ``seconds`` None, starting or progressing) stage."""

    name: str
    seconds: float | None = None
    peak_mib: float | None = None
    detail: str = ""


Progress = Callable[[StageReport], None]


@dataclass(frozen=True)
class Result:
    """Every station of the road.

    Attributes:
        name: file name of the photo.
        photo: what was read, with notices for the user.
        views: the fitted photo with depth and camera.
        conditionings: V caches seen along the trajectories.
        latents: V imagined clips.
        frames: [V, T, 3, H, W] the tokenizer's decode of the clips, 0…1.
        scene: the Gaussians.
        rerender: the scene at the photo's own camera.
        renders: the scene along the V trajectories.
        stages: seconds and peak memory of each stage.
        options: what was asked for.
    """

    name: str
    photo: Photo
    views: Views
    conditionings: tuple[Conditioning, ...]
    latents: Latents
    frames: Tensor
    scene: Scene
    rerender: Rendering
    renders: tuple[Rendering, ...]
    stages: tuple[StageReport, ...]
    options: GenerateOptions


@dataclass
class _Clock:
    """Times stages and tells the caller about each."""

    tell: Progress
    device: torch.device
    done: list[StageReport] = field(default_factory=list)

    @contextmanager
    def stage(self, name: str, detail: str = "") -> Iterator[None]:
        self.tell(StageReport(name))
        start = time.perf_counter()
        yield
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        report = StageReport(name, round(time.perf_counter() - start, 2), round(peak_memory_mib(), 1), detail)
        self.done.append(report)
        self.tell(report)


def peak_memory_mib() -> float:
    """Peak resident memory of this process so far, MiB."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / (2**20 if sys.platform == "darwin" else 2**10)


def resolve_device(name: str) -> torch.device:
    """Turn ``auto``, ``cpu``, ``cuda`` or ``cuda:N`` into a device that exists.

    Raises:
        InputError: unknown name, or no such GPU.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        raise InputError(f"unknown device '{name}'; use auto, cpu, cuda or cuda:N") from None
    if device.type == "cpu":
        return device
    if device.type != "cuda":
        raise InputError(f"device '{name}' is not supported; use auto, cpu, cuda or cuda:N")
    if not torch.cuda.is_available() or (device.index or 0) >= torch.cuda.device_count():
        raise InputError(f"device '{name}' is not present on this computer; use --device cpu")
    return device


class Pipeline:
    """The nano networks, loaded once; ``run`` may be called many times."""

    def __init__(self, depth_net: DepthNet, tokenizer: Tokenizer, teacher: Teacher, decoder: GaussianDecoder) -> None:
        self.depth_net = depth_net.eval()
        self.tokenizer = tokenizer.eval()
        self.teacher = teacher.eval()
        self.decoder = decoder.eval()

    @staticmethod
    def load(device: str | torch.device = "auto") -> "Pipeline":
        """Load the embedded networks.

        Raises:
            InputError: unknown device, or damaged weights.
        """
        target = resolve_device(str(device))
        depth_net, tokenizer, teacher, decoder = MODELS
        return Pipeline(
            load_model(depth_net, target, kind=DepthNet),
            load_model(tokenizer, target, kind=Tokenizer),
            load_model(teacher, target, kind=Teacher),
            load_model(decoder, target, kind=GaussianDecoder),
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.teacher.parameters()).device

    @torch.no_grad()
    def imagine_frames(self, latents: Latents) -> Tensor:
        """The tokenizer's decode of every clip: [V, T, 3, H, W] 0…1."""
        clips = [self.tokenizer.decode(clip[None])[0].transpose(0, 1).clamp(0, 1) for clip in latents.z]
        return torch.stack(clips)

    def run(self, photo: Path, options: GenerateOptions | None = None, progress: Progress | None = None) -> Result:
        """Make a scene of one photo.

        Raises:
            InputError: anything wrong with the photo, the files beside it, or the options.
        """
        options = options or GenerateOptions()
        clock = _Clock(progress or (lambda report: None), self.device)
        with clock.stage("read"):
            picture = read_photo(photo)
            height, width = nano_grid(picture.frames.width, picture.frames.height)
            rgb, fitted = fit_photo(picture.frames.rgb[0], height, width, options.fit)
            frames = Frames(rgb[None].to(self.device))
            given = read_depth(options.depth, height, width) if options.depth is not None else None
            fov = options.fov
            if fov is None and picture.focal_px_fraction is not None:
                fov = math.degrees(2 * math.atan(0.5 / fitted.focal_px_fraction(picture.focal_px_fraction)))
        with clock.stage("perceive"):
            views = perceive(frames, self.depth_net, PerceiveConfig(fov), given)
        with clock.stage("warp"):
            trajectories = self._plan(views, options)
            conditionings = tuple(warp(views, trajectory) for trajectory in trajectories)
        return self._imagine_and_decode(photo.name, picture, views, conditionings, options, clock)

    def _plan(self, views: Views, options: GenerateOptions) -> tuple[Trajectory, ...]:
        if options.cameras is not None:
            path = read_camera_path(options.cameras, views.cameras[0].to("cpu"), FRAMES)
            return (path.to(self.device),)
        generator = torch.Generator().manual_seed(options.seed)
        return plan(views, FRAMES, options.trajectories, options.strength, generator)

    def _imagine_and_decode(
        self,
        name: str,
        picture: Photo,
        views: Views,
        conditionings: tuple[Conditioning, ...],
        options: GenerateOptions,
        clock: _Clock,
    ) -> Result:
        steps = options.steps or self.teacher.config.steps
        total = steps * len(conditionings)

        def on_step(view: int, step: int) -> None:
            clock.tell(StageReport("imagine", detail=f"{view * steps + step + 1}/{total}"))

        with clock.stage("imagine", f"{len(conditionings)} trajectories x {steps} steps"):
            latents = imagine(conditionings, self.teacher, self.tokenizer, steps, options.seed, on_step)
        with clock.stage("frames"):
            frames = self.imagine_frames(latents)
        with clock.stage("decode"):
            scene = decode(views, latents, conditionings, frames, self.decoder, self.tokenizer, self.depth_net)
        with clock.stage("cover"):
            scene = cover(scene, views, conditionings, frames, self.depth_net)
        with clock.stage("recolor"):
            scene = recolor(scene, views, RecolorConfig(options.recolor))
        with clock.stage("render"):
            gaussians = scene.gaussians[0]
            rerender = render(gaussians, scene.source)
            renders = tuple(render(gaussians, c.trajectory.cameras) for c in conditionings)
        return Result(
            name, picture, views, conditionings, latents, frames, scene, rerender, renders, tuple(clock.done), options
        )


def generate(photo: Path | str, options: GenerateOptions | None = None, **choices: Any) -> Result:
    """Make a 3D scene of one photo with the embedded networks.

    Args:
        photo: image file.
        options: what to do; or give the fields of ``GenerateOptions`` as keywords.
    """
    options = options or GenerateOptions(**choices)
    return Pipeline.load(options.device).run(Path(photo), options)


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

    clock = _Clock(progress or (lambda report: None), result.latents.z.device)
    with SceneFolder(out, overwrite=overwrite) as folder:
        with clock.stage("write"):
            scene = replace(result.scene.to("cpu"), provenance={"models": _model_records(), "photo": result.name})
            save_scene(folder, scene)
            video = render(result.scene.gaussians[0], smooth_tour(result.scene.source, PREVIEW_FRAMES))
            write_video(folder.path / "preview.mp4", video.rgb.cpu().clamp(0, 1), PREVIEW_FPS)
            contact_sheet(
                folder.path / "contact_sheet.png",
                result.views.to("cpu"),
                [c.trajectory.name for c in result.conditionings],
                [c.warped.cpu() for c in result.conditionings],
                [f.cpu() for f in result.frames],
                [r.rgb.cpu() for r in result.renders],
                result.rerender.rgb[0].cpu(),
            )
            cameras_file = folder.path / CAMERAS_FILE
            record = json.loads(cameras_file.read_text())
            record["trajectories"] = {c.trajectory.name: _path_record(c.trajectory) for c in result.conditionings}
            cameras_file.write_text(json.dumps(record))
            if extra is not None:
                extra(folder.path, scene, [c.trajectory.to("cpu") for c in result.conditionings])
        write_run(folder.path, _run_record(result, clock.done))


def _path_record(trajectory: Trajectory) -> dict[str, Any]:
    return {"strength": trajectory.strength, **cameras_to_json(trajectory.cameras)}


def _model_records() -> dict[str, dict[str, str]]:
    """Checksum and licence of every network that took part."""
    cards = {card.name: card for card in list_models()}
    return {name: {"sha256": cards[name].sha256, "licence": cards[name].licence} for name in MODELS if name in cards}


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
        "trajectories": [{"name": c.trajectory.name, "strength": c.trajectory.strength} for c in result.conditionings],
        "fov_degrees": round(float(result.views.cameras.fov_x[0]) * 57.29577951308232, 2),
        "gaussians": len(result.scene.gaussians[0]),
        "stages": [asdict(stage) for stage in [*result.stages, *written]],
    }
