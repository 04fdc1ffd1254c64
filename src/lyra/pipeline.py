"""The road from a picture to a scene: the only place that knows the order of the stages."""

import math
from collections.abc import Sequence
from dataclasses import replace
from itertools import count
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.clock import Clock
from lyra.hub import list_models, load_model
from lyra.io.camera_path import read_camera_path
from lyra.io.depth_file import read_depth
from lyra.io.images import Photo, fit_photo, read_photo
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.image_model import ImageModel
from lyra.models.teacher import SwiftTeacher, Teacher, require_text
from lyra.models.text import TextEncoder
from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.nn import side_by_side
from lyra.preset import Preset, nano
from lyra.results import (
    FirstPicture,
    GenerateOptions,
    Imagined,
    Painter,
    Progress,
    Result,
    StageReport,
    Wording,
    rendered_at,
)
from lyra.stages import (
    DetailConfig,
    PerceiveConfig,
    RecolorConfig,
    RefineConfig,
    ThinConfig,
    cover,
    decode,
    decode_frames,
    detail,
    illustrate,
    imagine,
    judge,
    perceive,
    plan,
    recolor,
    refine,
    thin,
    warp,
    with_edges,
)
from lyra.stages.detail import FACTOR, WORTH_READING
from lyra.stages.illustrate import GUIDANCE
from lyra.structures import (
    Conditioning,
    Frames,
    InputError,
    Latents,
    Scene,
    SceneRecord,
    Trajectory,
    Views,
)

FRAMES = 17
MODELS = ("depth/nano", "tokenizer/nano", "teacher/nano", "frames/nano", "decoder/nano")
RECORDED_OPTIONS = ("seed", "steps", "strength", "fit")
"""Of the options of `generate`, those that shape the latents and are kept with them."""
TEXT_MODEL = "text/nano"


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


def warp_along(views: Views, trajectories: Sequence[Trajectory]) -> tuple[Conditioning, ...]:
    """The cache of the first view as it is seen along each trajectory, depth edges drawn."""
    return with_edges(
        views, side_by_side(lambda number: warp(views, trajectories[number]), len(trajectories), views.depth.device)
    )


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
        self.painter: Painter | None = None
        """Draws the first pictures of prompts if the teacher's weights were not trained to, `lyra.world_pictures`."""

    @staticmethod
    def load(device: str | torch.device = "auto") -> "Pipeline":
        """Load the embedded networks.

        Raises:
            InputError: unknown device, or damaged weights.
        """
        target = resolve_device(str(device))
        depth_net, tokenizer, teacher, frame_decoder, decoder = MODELS
        return Pipeline(
            _channels_last(load_model(depth_net, target, kind=DepthNet)),
            _channels_last(load_model(tokenizer, target, kind=Tokenizer)),
            load_model(teacher, target, kind=SwiftTeacher),
            load_model(decoder, target, kind=GaussianDecoder),
            frame_decoder=_channels_last(load_model(frame_decoder, target, kind=FrameDecoder)),
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.teacher.parameters()).device

    @property
    def text_encoder(self) -> TextEncoder:
        """The embedded text encoder, loaded on first use."""
        if self._text_encoder is None:
            self._text_encoder = load_model(TEXT_MODEL, self.device, kind=TextEncoder)
        return self._text_encoder

    def read_prompt(self, prompt: str, negative: str | None = None, guidance: float = 1.0) -> Wording:
        """Turn words into tokens, with the embedded text encoder.

        Raises:
            InputError: a prompt that cannot be used, see `lyra.models.text.TextEncoder.prompt`, or a negative prompt
                that guidance 1 would leave without effect.
        """
        if negative is not None and guidance == 1:
            raise InputError("a negative prompt acts through guidance; give a guidance above 1, such as 2")
        encoder = self.text_encoder
        never_seen = encoder.unknown_words(f"{prompt} {negative or ''}")
        return Wording(
            encoder.prompt(prompt), None if negative is None else encoder.prompt(negative), guidance, never_seen
        )

    def imagine_frames(self, latents: Latents, conditionings: Sequence[Conditioning], exact: bool = False) -> Tensor:
        """The pixels of every clip, decoded with the cache it was imagined from: [V, T, 3, H, W] 0…1."""
        warped, mask = (torch.stack([getattr(told, name) for told in conditionings]) for name in ("warped", "mask"))
        return decode_frames(latents.z, warped, mask, self.tokenizer, self.frame_decoder, exact=exact)

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
        clock = Clock(progress or (lambda report: None), self.device)
        wording = None
        if options.prompt is not None:
            guidance = 1.0 if options.guidance is None else options.guidance
            wording = self.read_prompt(options.prompt, options.negative, guidance)
            require_text(self.teacher, wording.text)
        picture, views = self._look(photo, options, clock)
        if not name and isinstance(photo, Path):
            name = photo.name
        return self._from_views(name, picture, views, options, clock, wording)

    def _look(self, photo: Path | Photo, options: GenerateOptions, clock: Clock) -> tuple[Photo, Views]:
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
        """Make a scene of words: a first picture, by an image model, the teacher or `painter`, then as for a photo.

        Raises:
            InputError: an unusable prompt or option, an image model that cannot be loaded, or weights that were not
                trained for this.
        """
        return self.finish(self.imagine_prompt(prompt, options, progress), progress)

    def imagine_prompt(
        self, prompt: str, options: GenerateOptions | None = None, progress: Progress | None = None
    ) -> Imagined:
        """The part of `run_prompt` that needs the teacher: the words' first picture, and clips around it.

        Raises:
            InputError: as `run_prompt`.
        """
        options = replace(options or GenerateOptions(), prompt=prompt)
        if options.depth is not None:
            raise InputError("a depth file belongs to a photo; leave it out, or give the photo")
        guidance = GUIDANCE if options.guidance is None else options.guidance
        wording = self.read_prompt(prompt, options.negative, guidance)
        clock = Clock(progress or (lambda report: None), self.device)
        height, width = self.preset.height, self.preset.width
        with clock.stage("illustrate", f"{options.candidates} candidates" if options.candidates > 1 else ""):
            first = self._first_picture(wording, options, (height, width), clock)
        frames = Frames(first.candidates[first.chosen].rgb[None].to(self.device))
        with clock.stage("perceive"):
            views = perceive(frames, self.depth_net, PerceiveConfig(options.fov or first.fov))
        # the first picture has followed the guidance; the clips follow the text as it stands
        told = replace(wording, negative=None, guidance=1.0) if self.teacher.config.text else None
        imagined = self._from_views("", Photo(frames.to("cpu"), None, ()), views, options, clock, told)
        return replace(imagined, wording=wording, first=first)

    def _first_picture(
        self, wording: Wording, options: GenerateOptions, size: tuple[int, int], clock: Clock
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
        elif self.painter is not None and not self.teacher.config.illustrates:
            return self.painter(wording, options, size, self.text_encoder)
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
        clock: Clock,
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
        clock: Clock,
        wording: Wording | None,
    ) -> tuple[tuple[Conditioning, ...], Latents]:
        """Warp the cache along the trajectories, and let the teacher imagine a clip for each."""
        with clock.stage("warp"):
            conditionings = self._warp(views, trajectories)
        steps = options.steps or self.teacher.config.steps
        total = steps * len(conditionings)

        done = count(1)  # clips advance side by side

        def on_step(view: int, step: int) -> None:
            clock.tell(StageReport("imagine", detail=f"{next(done)}/{total}"))

        with clock.stage("imagine", f"{len(conditionings)} trajectories x {steps} steps"):
            text, negative = (wording.text, wording.negative) if wording else (None, None)
            latents = imagine(
                conditionings, self.teacher, self.tokenizer, steps, options.seed, on_step,
                text, negative, wording.guidance if wording else 1.0, exact=options.exact,
            )  # fmt: skip
        return conditionings, latents

    def _warp(self, views: Views, trajectories: Sequence[Trajectory]) -> tuple[Conditioning, ...]:
        """The cache as it is seen along each trajectory."""
        return warp_along(views, trajectories)

    def recall(
        self,
        record: SceneRecord,
        recolor: int | None = None,
        progress: Progress | None = None,
        gaussians: int | None = None,
        refine: int | None = None,
    ) -> Imagined:
        """Take up a stored record where `imagine` left it; the caches are warped anew, nothing is imagined.

        Args:
            record: with the depth of its source, and latents of this pipeline's tokenizer.
            recolor, gaussians, refine: as in `GenerateOptions`.
            progress: told about each stage.

        Raises:
            InputError: the latents are another tokenizer's, or the depth is not known.
        """
        clock = Clock(progress or (lambda report: None), self.device)
        self._require_fitting(record)
        with clock.stage("warp"):
            record = record.to(self.device)
            conditionings = self._warp(record.views, record.latents.trajectories)
        photo = Photo(record.views.frames.to("cpu"), None, ())
        name = str(record.meta.get("source", record.key))
        known = {option: record.meta[option] for option in RECORDED_OPTIONS if option in record.meta}
        options = GenerateOptions(
            **known,
            trajectories=tuple(c.trajectory.name for c in conditionings),
            recolor=recolor,
            gaussians=gaussians,
            refine=refine,
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
        clock = Clock(progress or (lambda report: None), self.device, list(imagined.stages))
        views, conditionings, latents = imagined.views, imagined.conditionings, imagined.latents
        with clock.stage("frames"):
            frames = self.imagine_frames(latents, conditionings, imagined.options.exact)
        with clock.stage("decode"):
            scene = self._decode(views, latents, conditionings, frames)
        if self.preset.cover:
            with clock.stage("cover"):
                scene = cover(scene, views, conditionings, frames, self.depth_net)
        scene, dropped = self._thin(scene, conditionings, imagined.options.gaussians, clock)
        scene = self._settle(scene, views, conditionings, frames, imagined.options, clock)
        scene = self._sharpen(scene, imagined, frames, clock)
        with clock.stage("render"):
            rerender = rendered_at(scene, views.cameras[0], self.preset.render)
        return Result(
            imagined.name,
            imagined.photo,
            views,
            conditionings,
            latents,
            frames,
            scene,
            rerender,
            tuple(clock.done),
            imagined.options,
            imagined.wording,
            imagined.first,
            self.preset,
            self._models(imagined.wording),
            dropped,
        )

    def _thin(
        self, scene: Scene, conditionings: Sequence[Conditioning], asked: int | None, clock: Clock
    ) -> tuple[Scene, int]:
        """The scene with as many Gaussians as it may have, and how many were dropped."""
        config = ThinConfig(self.preset.most_gaussians if asked is None else asked)
        before = sum(map(len, scene.gaussians))
        if config.most == 0 or max(map(len, scene.gaussians)) <= config.most:
            return scene, 0
        with clock.stage("thin", f"to {config.most:,} Gaussians"):
            scene = thin(scene, [told.trajectory for told in conditionings], config, self.preset.render)
        return scene, before - sum(map(len, scene.gaussians))

    def _settle(
        self,
        scene: Scene,
        views: Views,
        conditionings: Sequence[Conditioning],
        frames: Tensor,
        options: GenerateOptions,
        clock: Clock,
    ) -> Scene:
        """The scene brought nearer to the photo and to what was imagined."""
        steps, rounds = self.preset.settling(options.refine, options.recolor)
        if rounds:
            with clock.stage("recolor"):
                scene = recolor(scene, views, RecolorConfig(rounds), conditionings, frames)
        if steps:

            def on_step(step: int) -> None:
                clock.tell(StageReport("refine", detail=f"{step + 1}/{steps}"))

            with clock.stage("refine", f"{steps} steps"):
                scene = refine(
                    scene, views, conditionings, frames, RefineConfig(steps), options.seed, on_step,
                    options=self.preset.render,
                )  # fmt: skip
        return scene

    def _sharpen(self, scene: Scene, imagined: Imagined, frames: Tensor, clock: Clock) -> Scene:
        """The scene with what its photo shows beyond the networks' size, if it shows more and that is wanted."""
        options, views = imagined.options, imagined.views
        most = self.preset.divisible(options.detail, options.gaussians, len(scene.gaussians[0]))
        height, width = views.frames.height, views.frames.width
        if not most or not len(imagined.conditionings):
            return scene
        finer, placement = fit_photo(imagined.photo.frames.rgb[0], height, width, options.fit, FACTOR)
        if placement.scale_x > FACTOR * WORTH_READING:
            return scene

        def on_step(step: int) -> None:
            clock.tell(StageReport("detail", detail=f"{step + 1}/{config.steps}"))

        config = DetailConfig(most)
        with clock.stage("detail", f"at {FACTOR * width} x {FACTOR * height}"):
            return detail(
                scene, views, finer.to(self.device), imagined.conditionings, frames, config, options.seed, on_step,
                self.preset.render,
            )  # fmt: skip

    def _decode(self, views: Views, latents: Latents, conditionings: tuple[Conditioning, ...], frames: Tensor) -> Scene:
        return decode(views, latents, conditionings, frames, self.decoder, self.tokenizer, self.depth_net)

    def _models(self, wording: Wording | None) -> dict[str, dict[str, str]]:
        """Checksum and licence of every network that takes part."""
        return model_records((*MODELS, TEXT_MODEL) if wording is not None else MODELS)

    def _plan(self, views: Views, options: GenerateOptions) -> tuple[Trajectory, ...]:
        if options.cameras is not None:
            path = read_camera_path(options.cameras, views.cameras[0].to("cpu"), self.preset.frames)
            return (path.to(self.device),)
        generator = torch.Generator().manual_seed(options.seed)
        names = options.trajectories if options.trajectories is not None else self.preset.trajectories
        return plan(views, self.preset.frames, names, options.strength, generator)


def _channels_last(network: Any) -> Any:
    """A network with the weights of its convolutions laid out as its feature maps are, in place."""
    return network.to(memory_format=torch.channels_last)


def model_records(names: tuple[str, ...]) -> dict[str, dict[str, str]]:
    """Checksum and licence of every network that took part."""
    cards = {card.name: card for card in list_models()}
    return {name: {"sha256": cards[name].sha256, "licence": cards[name].licence} for name in names if name in cards}
