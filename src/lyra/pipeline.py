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
from lyra.hub import config_to_dict, list_models, load_model
from lyra.io.camera_path import read_camera_path
from lyra.io.candidate_sheet import candidate_sheet
from lyra.io.contact_sheet import contact_sheet
from lyra.io.depth_file import read_depth
from lyra.io.images import Photo, fit_photo, read_photo
from lyra.io.scene_folder import CAMERAS_FILE, SceneFolder, cameras_to_json, save_scene, write_run
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.image_model import ImageModel
from lyra.models.teacher import Teacher, require_text
from lyra.models.text import TextEncoder, UnknownWord
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.preset import Preset, nano
from lyra.raster import render
from lyra.stages import (
    Candidate,
    PerceiveConfig,
    RecolorConfig,
    cover,
    decode,
    decode_frames,
    illustrate,
    imagine,
    judge,
    perceive,
    plan,
    recolor,
    warp,
)
from lyra.stages.illustrate import GUIDANCE
from lyra.structures import (
    Conditioning,
    Frames,
    InputError,
    Latents,
    Rendering,
    Scene,
    SceneRecord,
    Text,
    Trajectory,
    Views,
)

FRAMES = 17
PREVIEW_FRAMES = 48
PREVIEW_FPS = 16.0
MODELS = ("depth/nano", "tokenizer/nano", "teacher/nano", "frames/nano", "decoder/nano")
RECORDED_OPTIONS = ("seed", "steps", "strength", "fit")
"""Of the options of `generate`, those that shape the latents and are kept with them."""
TEXT_MODEL = "text/nano"


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
        recolor: rounds that move the scene's colours towards the photo; 0 keeps the decoder's own, ``None`` takes the
            number that belongs to the networks.
        prompt: what the scene shows: its first picture where there is no photo, and what the photo does not show.
        negative: what it should not show.
        guidance: how far to follow the prompt, `lyra.diffusion.guide`: in the first picture (``None`` for
            `lyra.stages.illustrate.GUIDANCE`), or, with a photo, in its surroundings (``None`` for 1).
        candidates: first pictures to draw, with the seeds from ``seed`` on.
        choose: number of the one to go on with, from 1; ``None`` for the one whose agreement is best.
        image_model: folder of a diffusers text-to-image pipeline that draws the first picture.
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
    recolor: int | None = None
    prompt: str | None = None
    negative: str | None = None
    guidance: float | None = None
    candidates: int = 1
    choose: int | None = None
    image_model: Path | None = None

    def __post_init__(self) -> None:
        if self.prompt is None and not (self.negative is self.guidance is self.image_model is None):
            raise InputError("a negative prompt, guidance and an image model belong to a prompt; give one")
        if self.guidance is not None and not 0 <= self.guidance <= 30:
            raise InputError(f"guidance {self.guidance:g} is outside 0…30; 1 follows the prompt without exaggeration")
        if not 1 <= self.candidates <= 64:
            raise InputError(f"{self.candidates} candidates are outside 1…64; give a number in between")
        if self.choose is not None and not 1 <= self.choose <= self.candidates:
            raise InputError(f"choice {self.choose} is outside 1…{self.candidates}, the candidates; give one, or best")
        if self.steps is not None and not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200; leave it out for the network's own number")
        if not 0 <= self.seed < 2**31:
            raise InputError(f"seed {self.seed} is outside 0…{2**31 - 1}; give a whole number in between")
        RecolorConfig(self.recolor or 0)
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
class Wording:
    """What was said about a scene.

    Attributes:
        text: the prompt.
        negative: what should not be there, ``None`` for nothing.
        guidance: how far the prompt was followed.
        never_seen: words outside the text encoder's vocabulary, with its guesses.
    """

    text: Text
    negative: Text | None
    guidance: float
    never_seen: tuple[UnknownWord, ...]


@dataclass(frozen=True)
class FirstPicture:
    """Where the first picture of a prompt comes from.

    Attributes:
        candidates: what was drawn.
        chosen: index of the one the scene was made of.
        source: what drew them, and under which licence.
    """

    candidates: tuple[Candidate, ...]
    chosen: int
    source: dict[str, str]


@dataclass(frozen=True)
class Imagined:
    """The road up to latents: what a store keeps, and all that the rest of the road needs.

    Attributes:
        name: what the picture is called.
        photo: what was read, with notices for the user.
        views: the fitted photo with depth and camera.
        conditionings: V caches seen along the trajectories.
        latents: V imagined clips.
        stages: seconds and peak memory of each stage so far.
        options: what was asked for.
        wording: what was said about the scene, where something was.
        first: where its first picture comes from, where that was not a photo.
    """

    name: str
    photo: Photo
    views: Views
    conditionings: tuple[Conditioning, ...]
    latents: Latents
    stages: tuple[StageReport, ...]
    options: GenerateOptions
    wording: Wording | None = None
    first: FirstPicture | None = None


@dataclass(frozen=True)
class Result:
    """Every station of the road.

    Attributes:
        name: file name of the photo.
        photo: what was read, with notices for the user.
        views: the fitted photo with depth and camera.
        conditionings: V caches seen along the trajectories.
        latents: V imagined clips.
        frames: [V, T, 3, H, W] the clips as pixels, 0…1.
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
    wording: Wording | None = None
    """What was said about the scene, where something was."""
    first: FirstPicture | None = None
    """Where its first picture comes from, where that was not a photo."""
    preset: Preset = field(default_factory=nano)
    """Sizes and choices that belong to the networks."""
    models: dict[str, dict[str, str]] = field(default_factory=dict)
    """Checksum and licence of every network that took part."""


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
    """The networks, loaded once; ``run`` may be called many times. Other networks override what differs for them."""

    def __init__(
        self,
        depth_net: DepthNet,
        tokenizer: Tokenizer,
        teacher: Teacher,
        decoder: GaussianDecoder,
        preset: Preset | None = None,
        frame_decoder: FrameDecoder | None = None,
    ) -> None:
        self.preset = preset or nano()
        self.depth_net = depth_net.eval()
        self.tokenizer = tokenizer.eval()
        self.teacher = teacher.eval()
        self.decoder = decoder.eval()
        self.frame_decoder = None if frame_decoder is None else frame_decoder.eval()
        self._text_encoder: TextEncoder | None = None

    @staticmethod
    def load(device: str | torch.device = "auto") -> "Pipeline":
        """Load the embedded networks.

        Raises:
            InputError: unknown device, or damaged weights.
        """
        target = resolve_device(str(device))
        depth_net, tokenizer, teacher, frame_decoder, decoder = MODELS
        return Pipeline(
            load_model(depth_net, target, kind=DepthNet),
            load_model(tokenizer, target, kind=Tokenizer),
            load_model(teacher, target, kind=Teacher),
            load_model(decoder, target, kind=GaussianDecoder),
            frame_decoder=load_model(frame_decoder, target, kind=FrameDecoder),
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.teacher.parameters()).device

    def read_prompt(self, prompt: str, negative: str | None = None, guidance: float = 1.0) -> Wording:
        """Turn words into tokens, with the embedded text encoder.

        Raises:
            InputError: a prompt that cannot be used, see `lyra.models.text.TextEncoder.prompt`, or a negative prompt
                that guidance 1 would leave without effect.
        """
        if negative is not None and guidance == 1:
            raise InputError("a negative prompt acts through guidance; give a guidance above 1, such as 2")
        if self._text_encoder is None:
            self._text_encoder = load_model(TEXT_MODEL, self.device, kind=TextEncoder)
        encoder = self._text_encoder
        never_seen = encoder.unknown_words(f"{prompt} {negative or ''}")
        return Wording(
            encoder.prompt(prompt), None if negative is None else encoder.prompt(negative), guidance, never_seen
        )

    def imagine_frames(self, latents: Latents, conditionings: Sequence[Conditioning]) -> Tensor:
        """The pixels of every clip, decoded with the cache it was imagined from: [V, T, 3, H, W] 0…1."""
        warped, mask = (torch.stack([getattr(told, name) for told in conditionings]) for name in ("warped", "mask"))
        return decode_frames(latents.z, warped, mask, self.tokenizer, self.frame_decoder)

    def run(self, photo: Path, options: GenerateOptions | None = None, progress: Progress | None = None) -> Result:
        """Make a scene of one photo; a prompt among the options says what the photo does not show.

        Raises:
            InputError: anything wrong with the photo, the files beside it, or the options.
        """
        return self.finish(self.imagine(photo, options, progress), progress)

    def imagine(
        self,
        photo: Path | Photo,
        options: GenerateOptions | None = None,
        progress: Progress | None = None,
        name: str = "",
    ) -> Imagined:
        """Go the road up to latents.

        Args:
            photo: image file, or a picture that was read or made elsewhere.
            options: what to do.
            progress: told about each stage.
            name: what the picture is called, by default as its file.

        Raises:
            InputError: anything wrong with the photo, the files beside it, or the options.
        """
        options = options or GenerateOptions()
        if options.image_model is not None or options.candidates > 1:
            raise InputError("an image model and candidates are for a first picture; leave the photo or them out")
        clock = _Clock(progress or (lambda report: None), self.device)
        wording = None
        if options.prompt is not None:
            guidance = 1.0 if options.guidance is None else options.guidance
            wording = self.read_prompt(options.prompt, options.negative, guidance)
            require_text(self.teacher, wording.text)
        picture, views = self._look(photo, options, clock)
        if not name and isinstance(photo, Path):
            name = photo.name
        return self._from_views(name, picture, views, options, clock, wording)

    def _look(self, photo: Path | Photo, options: GenerateOptions, clock: _Clock) -> tuple[Photo, Views]:
        """Read the photo, and estimate or read its depth and camera."""
        with clock.stage("read"):
            picture = read_photo(photo) if isinstance(photo, Path) else photo
            height, width = self.preset.grid(picture.frames.width, picture.frames.height)
            rgb, fitted = fit_photo(picture.frames.rgb[0], height, width, options.fit)
            frames = Frames(rgb[None].to(self.device))
            given = read_depth(options.depth, height, width) if options.depth is not None else None
            fov = options.fov
            if fov is None and picture.focal_px_fraction is not None:
                fov = math.degrees(2 * math.atan(0.5 / fitted.focal_px_fraction(picture.focal_px_fraction)))
        with clock.stage("perceive"):
            views = perceive(frames, self.depth_net, PerceiveConfig(fov, self.preset.depth_reduction), given)
        return picture, views

    def run_prompt(
        self, prompt: str, options: GenerateOptions | None = None, progress: Progress | None = None
    ) -> Result:
        """Make a scene of words: a first picture, by the teacher or by an image model, then as for a photo.

        Raises:
            InputError: an unusable prompt or option, an image model that cannot be loaded, or weights that were not
                trained for this.
        """
        options = replace(options or GenerateOptions(), prompt=prompt)
        if options.depth is not None:
            raise InputError("a depth file belongs to a photo; leave it out, or give the photo")
        guidance = GUIDANCE if options.guidance is None else options.guidance
        wording = self.read_prompt(prompt, options.negative, guidance)
        clock = _Clock(progress or (lambda report: None), self.device)
        height, width = self.preset.height, self.preset.width
        with clock.stage("illustrate", f"{options.candidates} candidates" if options.candidates > 1 else ""):
            first = self._first_picture(wording, options, (height, width), clock)
        frames = Frames(first.candidates[first.chosen].rgb[None].to(self.device))
        with clock.stage("perceive"):
            views = perceive(frames, self.depth_net, PerceiveConfig(options.fov))
        # the first picture has followed the guidance; the clips follow the text as it stands
        told = replace(wording, negative=None, guidance=1.0) if self.teacher.config.text else None
        imagined = self._from_views("", Photo(frames.to("cpu"), None, ()), views, options, clock, told)
        return self.finish(replace(imagined, wording=wording, first=first), progress)

    def _first_picture(
        self, wording: Wording, options: GenerateOptions, size: tuple[int, int], clock: _Clock
    ) -> FirstPicture:
        """Draw the candidates and choose one."""
        seeds = range(options.seed, options.seed + options.candidates)

        def on_step(index: int, step: int) -> None:
            clock.tell(StageReport("illustrate", detail=f"candidate {index + 1}, step {step + 1}"))

        if options.image_model is not None:
            model = ImageModel.load(options.image_model, self.device)
            source = {"image_model": model.name, "licence": model.licence}
            drawn = model.draw(wording.text.prompt, seeds, size, options.negative, options.guidance, on_step)
            pictures = torch.stack([fit_photo(picture, *size)[0] for picture in drawn]).to(self.device)
            candidates = judge(pictures, seeds, wording.text, self.teacher, self.tokenizer)
        else:
            source = {"teacher": MODELS[2]}
            candidates = illustrate(
                wording.text, self.teacher, self.tokenizer, size, seeds,
                negative=wording.negative, guidance=wording.guidance, on_step=on_step,
            )  # fmt: skip
        best = max(range(len(candidates)), key=lambda index: candidates[index].agreement or 0.0)
        return FirstPicture(candidates, best if options.choose is None else options.choose - 1, source)

    def _from_views(
        self,
        name: str,
        picture: Photo,
        views: Views,
        options: GenerateOptions,
        clock: _Clock,
        wording: Wording | None,
    ) -> Imagined:
        trajectories = self._plan(views, options)
        conditionings, latents = self._imagine(views, trajectories, options, clock, wording)
        return Imagined(name, picture, views, conditionings, latents, tuple(clock.done), options, wording)

    def _imagine(
        self,
        views: Views,
        trajectories: tuple[Trajectory, ...],
        options: GenerateOptions,
        clock: _Clock,
        wording: Wording | None,
    ) -> tuple[tuple[Conditioning, ...], Latents]:
        """Warp the cache along the trajectories, and let the teacher imagine a clip for each."""
        with clock.stage("warp"):
            conditionings = self._warp(views, trajectories)
        steps = options.steps or self.teacher.config.steps
        total = steps * len(conditionings)

        def on_step(view: int, step: int) -> None:
            clock.tell(StageReport("imagine", detail=f"{view * steps + step + 1}/{total}"))

        with clock.stage("imagine", f"{len(conditionings)} trajectories x {steps} steps"):
            said = (wording.text, wording.negative, wording.guidance) if wording else (None, None, 1.0)
            latents = imagine(conditionings, self.teacher, self.tokenizer, steps, options.seed, on_step, *said)
        return conditionings, latents

    def _warp(self, views: Views, trajectories: Sequence[Trajectory]) -> tuple[Conditioning, ...]:
        """The cache as it is seen along each trajectory."""
        return tuple(warp(views, trajectory) for trajectory in trajectories)

    def recall(self, record: SceneRecord, recolor: int | None = None, progress: Progress | None = None) -> Imagined:
        """Take up a stored record where `imagine` left it; the caches are warped anew, nothing is imagined.

        Args:
            record: with the depth of its source, and latents of this pipeline's tokenizer.
            recolor: as in `GenerateOptions`.
            progress: told about each stage.

        Raises:
            InputError: the latents are another tokenizer's, or the depth is not known.
        """
        clock = _Clock(progress or (lambda report: None), self.device)
        self._require_fitting(record)
        with clock.stage("warp"):
            record = record.to(self.device)
            conditionings = self._warp(record.views, record.latents.trajectories)
        photo = Photo(record.views.frames.to("cpu"), None, ())
        name = str(record.meta.get("source", record.key))
        known = {option: record.meta[option] for option in RECORDED_OPTIONS if option in record.meta}
        options = GenerateOptions(
            **known, trajectories=tuple(c.trajectory.name for c in conditionings), recolor=recolor
        )
        return Imagined(name, photo, record.views, conditionings, record.latents, tuple(clock.done), options)

    def _require_fitting(self, record: SceneRecord) -> None:
        tokenizer, latents = self.tokenizer, record.latents
        if latents.tokenizer != tokenizer.name or latents.z.shape[1] != tokenizer.channels:
            raise InputError(
                f"record {record.key} has latents of the tokenizer {latents.tokenizer}, {latents.z.shape[1]} channels; "
                f"needed are those of {tokenizer.name}, {tokenizer.channels} channels"
            )
        cells = tuple(latents.z.shape[2:])
        for cameras in (path.cameras for path in latents.trajectories):
            height, width = cameras.height // tokenizer.spatial, cameras.width // tokenizer.spatial
            if cells != (tokenizer.latent_frames(len(cameras)), height, width):
                raise InputError(
                    f"record {record.key}: latents of {cells} cells do not belong to {len(cameras)} pictures of "
                    f"{cameras.height} x {cameras.width}; synthesize it again"
                )
        if not bool(record.views.mask.any()):
            raise InputError(
                f"record {record.key} has no depth of its source picture, which the decoder needs; add it to the data"
            )

    def finish(self, imagined: Imagined, progress: Progress | None = None) -> Result:
        """Go the rest of the road: decode the latents into Gaussians and look at them."""
        clock = _Clock(progress or (lambda report: None), self.device, list(imagined.stages))
        views, conditionings, latents = imagined.views, imagined.conditionings, imagined.latents
        with clock.stage("frames"):
            frames = self.imagine_frames(latents, conditionings)
        with clock.stage("decode"):
            scene = self._decode(views, latents, conditionings, frames)
        if self.preset.cover:
            with clock.stage("cover"):
                scene = cover(scene, views, conditionings, frames, self.depth_net)
        asked = imagined.options.recolor
        with clock.stage("recolor"):
            scene = recolor(scene, views, RecolorConfig(self.preset.recolor if asked is None else asked))
        with clock.stage("render"):
            gaussians, how = scene.gaussians[0], self.preset.render
            rerender = render(gaussians, scene.source, how)
            renders = tuple(render(gaussians, c.trajectory.cameras, how) for c in conditionings)
        return Result(
            imagined.name,
            imagined.photo,
            views,
            conditionings,
            latents,
            frames,
            scene,
            rerender,
            renders,
            tuple(clock.done),
            imagined.options,
            imagined.wording,
            imagined.first,
            self.preset,
            self._models(imagined.wording),
        )

    def _decode(self, views: Views, latents: Latents, conditionings: tuple[Conditioning, ...], frames: Tensor) -> Scene:
        return decode(views, latents, conditionings, frames, self.decoder, self.tokenizer, self.depth_net)

    def _models(self, wording: Wording | None) -> dict[str, dict[str, str]]:
        """Checksum and licence of every network that takes part."""
        return _model_records((*MODELS, TEXT_MODEL) if wording is not None else MODELS)

    def _plan(self, views: Views, options: GenerateOptions) -> tuple[Trajectory, ...]:
        if options.cameras is not None:
            path = read_camera_path(options.cameras, views.cameras[0].to("cpu"), self.preset.frames)
            return (path.to(self.device),)
        generator = torch.Generator().manual_seed(options.seed)
        names = options.trajectories if options.trajectories is not None else self.preset.trajectories
        return plan(views, self.preset.frames, names, options.strength, generator)


def generate(photo: Path | str | None = None, options: GenerateOptions | None = None, **choices: Any) -> Result:
    """Make a 3D scene of one photo, or of a prompt, with the embedded networks.

    Args:
        photo: image file; without one, ``prompt`` among the options says what the first picture shows.
        options: what to do; or give the fields of ``GenerateOptions`` as keywords.

    Raises:
        InputError: neither photo nor prompt, or anything wrong with either.
    """
    options = options or GenerateOptions(**choices)
    if photo is not None:
        return Pipeline.load(options.device).run(Path(photo), options)
    if options.prompt is None:
        raise InputError("there is nothing to make a scene of; give a photo or a prompt")
    return Pipeline.load(options.device).run_prompt(options.prompt, options)


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
            scene = replace(result.scene.to("cpu"), provenance=_provenance(result))
            save_scene(folder, scene)
            tour = smooth_tour(result.scene.source, PREVIEW_FRAMES)
            video = render(result.scene.gaussians[0], tour, result.preset.render)
            write_video(folder.path / "preview.mp4", video.rgb.cpu().clamp(0, 1), PREVIEW_FPS)
            contact_sheet(
                folder.path / "contact_sheet.png",
                result.views.to("cpu"),
                [c.trajectory.name for c in result.conditionings],
                [c.warped.cpu() for c in result.conditionings],
                [f.cpu() for f in result.frames],
                [r.rgb.cpu() for r in result.renders],
                result.rerender.rgb[0].cpu(),
                result.preset.kept,
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
        write_run(folder.path, _run_record(result, clock.done))


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


def _model_records(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Checksum and licence of every network that took part."""
    cards = {card.name: card for card in list_models()}
    return {name: {"sha256": cards[name].sha256, "licence": cards[name].licence} for name in names if name in cards}


def _text_record(wording: Wording) -> dict[str, Any]:
    return {
        "prompt": wording.text.prompt,
        "negative": None if wording.negative is None else wording.negative.prompt,
        "guidance": wording.guidance,
        "never_seen": {unknown.word: unknown.nearest for unknown in wording.never_seen},
    }


def _first_record(first: FirstPicture) -> dict[str, Any]:
    return {
        **first.source,
        "chosen": first.chosen + 1,
        "candidates": [{"seed": c.seed, "agreement_percent": c.agreement} for c in first.candidates],
    }


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
        "preset": config_to_dict(result.preset),
        "text": None if result.wording is None else _text_record(result.wording),
        "first_picture": None if result.first is None else _first_record(result.first),
        "trajectories": [{"name": path.name, "strength": path.strength} for path in result.latents.trajectories],
        "fov_degrees": round(float(result.views.cameras.fov_x[0]) * 57.29577951308232, 2),
        "gaussians": len(result.scene.gaussians[0]),
        "stages": [asdict(stage) for stage in [*result.stages, *written]],
    }
