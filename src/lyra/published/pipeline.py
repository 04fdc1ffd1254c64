"""The road with the published networks: loaded when needed, one trajectory at a time, on one or several GPUs."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lyra.clock import Clock
from lyra.data.vipe import clip_files, read_vipe
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES, trajectory_c2w
from lyra.hub import load_model
from lyra.hub.folder_card import FolderCard
from lyra.hub.memory_plan import DEVICE_RESERVE, GIB, MemoryPlan, Workload, plan_memory
from lyra.hub.model_folder import load_network
from lyra.io.images import Photo
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.teacher import PublishedInputs, PublishedTeacher
from lyra.models.teacher.lean import make_lean
from lyra.models.teacher.null_text import drop_text, serves_text
from lyra.models.teacher.offload import store_in_8_bits, stream_blocks
from lyra.models.teacher.parallel import require_equal_shares, share_clip
from lyra.models.teacher.speed import can_be_fast, compile_blocks, multiply_in_8_bits, stored_in_8_bits
from lyra.models.tokenizer import CosmosTokenizer
from lyra.nn import fast_attention
from lyra.pipeline import MODELS, Pipeline, resolve_device
from lyra.preset import Preset, preset_of
from lyra.published.ranks import Ranks
from lyra.results import GenerateOptions, Imagined, Progress, Result, StageReport, Wording
from lyra.stages import (
    PerceiveConfig,
    PublishedSampling,
    decode_published,
    grow_cache,
    imagine_published,
    perceive,
    published_inputs,
    start_cache,
    warp_published,
    warp_video,
)
from lyra.structures import Conditioning, Frames, InputError, Latents, Scene, Trajectory, Views

NAMELESS_STRENGTH = 0.3
"""Movement along paths that are not among the six, in units of the centre depth: the published default."""


@dataclass(frozen=True)
class LoadOptions:
    """How the networks are held; independent of the photo.

    Attributes:
        device: ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
        memory: GiB of the device that may be used, ``None`` for all that is free.
        eight_bits: store the teacher's large weights in 8 bits.
        force: go on where sizes or trajectories are not those the weights were trained for.
        size: height and width of the pictures, ``None`` for the trained ones.
        fast: compile the teacher's blocks and multiply 8-bit numbers, on GPUs that can and have room for all weights.
        text: whether the teacher will read a text; without, it does without its cross-attention.
        share: of several processes, let all compute every trajectory together instead of some each.
    """

    device: str = "auto"
    memory: float | None = None
    eight_bits: bool = False
    force: bool = False
    size: tuple[int, int] | None = None
    fast: bool = False
    text: bool = False
    share: bool = False


class _Contributed(Exception):
    """A process that does not lead has done its part."""


class PublishedPipeline(Pipeline):
    """GEN3C's sampler and Lyra-1's decoder; build it with ``open``.

    The teacher is loaded when its phase begins; where the plan says so it is gone afterwards, or streams from host
    memory.
    """

    def __init__(
        self,
        depth_net: DepthNet,
        tokenizer: CosmosTokenizer,
        teacher: PublishedTeacher,
        decoder: GaussianDecoder,
        preset: Preset,
        folder: Path,
        plan: MemoryPlan,
        ranks: Ranks,
        force: bool = False,
        reads_text: bool = False,
    ) -> None:
        super().__init__(depth_net, tokenizer, teacher, decoder, preset)
        self.tokenizer: CosmosTokenizer = tokenizer
        self.teacher: PublishedTeacher = teacher
        self._shape = teacher  # without weights; they come when its phase begins
        self.sampling = PublishedSampling()
        self.texts: tuple[Tensor | None, Tensor | None] = (None, None)
        self._reads_text = reads_text
        self.folder, self.plan, self.ranks, self.force = folder, plan, ranks, force
        tokenizer.together = plan.choice.clip_together
        decoder.trunk.together = plan.choice.tokens_together

    @staticmethod
    def open(folder: Path, options: LoadOptions | None = None) -> "PublishedPipeline":
        """Plan the memory, then load the small networks of a model folder.

        Raises:
            InputError: not a model folder, damaged weights, no such device, too little memory, or a size that the
                weights were not trained for.
        """
        options = options or LoadOptions()
        device = resolve_device(Ranks.device(options.device))
        if device.index is not None:
            torch.cuda.set_device(device)  # kernels of Triton are launched on the current one
        ranks = Ranks.from_environment(device, options.share)
        preset = sized(preset_of(folder), options)
        shapes = network_shapes(folder, preset)
        if ranks.share:
            tokens = (1 + (preset.frames - 1) // 8) * (preset.height // 16) * (preset.width // 16)
            require_equal_shares(ranks.world, tokens, shapes.teacher.config.heads)
        plan = plan_memory(
            workload(shapes, preset, device, options.text),
            device_memory(device, options.memory),
            host_memory() // ranks.beside,
            options.eight_bits,
            options.fast and not ranks.share and can_be_fast(device),
        )
        dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
        return PublishedPipeline(
            load_model(MODELS[0], device, kind=DepthNet),
            load_network(folder / "tokenizer", CosmosTokenizer, device, dtype),
            shapes.teacher,
            load_network(folder / preset.decoder, GaussianDecoder, device, dtype),
            preset,
            folder,
            plan,
            ranks,
            options.force,
            options.text,
        )

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return self.tokenizer.latent_mean.device

    def imagine(
        self,
        photo: Path | Photo,
        options: GenerateOptions | None = None,
        progress: Progress | None = None,
        name: str = "",
    ) -> Imagined:
        """See ``Pipeline.imagine``; of several processes, only the leading one comes back from here.

        Raises:
            InputError: anything wrong with the photo, the files beside it, or the options.
        """
        options = options or GenerateOptions()
        require_trained(self.preset, options, self.force)
        if options.trajectories is not None:  # the decoder wants its views in the order of its training
            order = [name for name in self.preset.trajectories if name in options.trajectories]
            others = [name for name in options.trajectories if name not in order]
            options = replace(options, trajectories=(*order, *others))
        return super().imagine(photo, options, progress, name)

    def run_prompt(
        self, prompt: str, options: GenerateOptions | None = None, progress: Progress | None = None
    ) -> Result:
        """These networks begin with a photo.

        Raises:
            InputError: always.
        """
        raise InputError("published networks begin with a photo; give one")

    def follow(self, photo: Path, options: GenerateOptions | None = None) -> None:
        """Do the part of a process that does not lead."""
        try:
            self.run(photo, options)
        except _Contributed:
            return

    def _imagine(
        self,
        views: Views,
        trajectories: tuple[Trajectory, ...],
        options: GenerateOptions,
        clock: Clock,
        wording: Wording | None,
    ) -> tuple[tuple[Conditioning, ...], Latents]:
        self.ranks.require_work(trajectories)
        mine = self.ranks.mine(len(trajectories))
        prompt, negative = self.texts
        seen: dict[int, Conditioning] = {}
        inputs: dict[int, PublishedInputs] = {}
        with clock.stage("warp"):
            seen_along = self._sight(views)
            for number in mine:
                clock.tell(StageReport("warp", detail=trajectories[number].name))
                whole = seen_along(trajectories[number])
                inputs[number] = published_inputs(whole, self.teacher.config, self.tokenizer, options.seed, prompt)
                seen[number] = whole.frames(self.preset.kept)
        sampling = self.sampling if options.steps is None else replace(self.sampling, steps=options.steps)
        clips: dict[int, Tensor] = {}
        with clock.stage("imagine", f"{len(trajectories)} trajectories x {sampling.steps} steps"), self._with_teacher():
            for place, number in enumerate(mine):

                def on_step(step: int, place: int = place) -> None:
                    done, total = place * sampling.steps + step + 1, sampling.steps * len(mine)
                    clock.tell(StageReport("imagine", detail=f"{done}/{total}"))

                clip = imagine_published(inputs[number], self.teacher, sampling, options.seed, negative, on_step)
                clips[number] = self.tokenizer.denormalize(clip.to(self.tokenizer.latent_mean))[0]
        return self._gathered(trajectories, seen, clips)

    def _gathered(
        self, trajectories: Sequence[Trajectory], seen: dict[int, Conditioning], clips: dict[int, Tensor]
    ) -> tuple[tuple[Conditioning, ...], Latents]:
        """What all processes made, in the leading one."""
        count, ranks = len(trajectories), self.ranks
        z = ranks.together(clips, count)
        warped = ranks.together({n: one.warped for n, one in seen.items()}, count)
        depth = ranks.together({n: one.depth for n, one in seen.items()}, count)
        mask = ranks.together({n: one.mask.to(torch.uint8) for n, one in seen.items()}, count).bool()
        if not ranks.leads:
            raise _Contributed
        source = next(iter(seen.values())).source
        kept = [replace(path, cameras=path.cameras[torch.tensor(self.preset.kept)]) for path in trajectories]
        conditionings = tuple(
            Conditioning(path.to(z.device), source, warped[n], depth[n], mask[n]) for n, path in enumerate(kept)
        )
        return conditionings, Latents(z, tuple(trajectories), self.tokenizer.name)

    def _warp(self, views: Views, trajectories: Sequence[Trajectory]) -> tuple[Conditioning, ...]:
        seen_along = self._sight(views)
        return tuple(seen_along(path).frames(self.preset.kept) for path in trajectories)

    def _sight(self, views: Views) -> Callable[[Trajectory], Conditioning]:
        """What is seen of a photo or of a video along a trajectory."""
        if is_video(views):
            return lambda path: warp_video(views, path, self.preset.cache)
        cache = start_cache(views, self.preset.cache)
        return lambda path: warp_published(cache, path, views.frames.rgb[0])

    def _look(self, photo: Path | Photo, options: GenerateOptions, clock: Clock) -> tuple[Photo, Views]:
        """Read a photo, and estimate its depth and camera; or a folder with a video that brings them."""
        if not isinstance(photo, Path) or not photo.is_dir():
            return super()._look(photo, options, clock)
        require_video_choices(photo, self.preset, options)
        with clock.stage("read"):
            views = read_vipe(photo, self.preset.frames, self.preset.height, self.preset.width)
        return Photo(views.frames[:1], None, ()), views.to(self.device)

    @torch.no_grad()
    def imagine_frames(self, latents: Latents, conditionings: Sequence[Conditioning], exact: bool = False) -> Tensor:
        """The tokenizer's decode of every clip at the kept frames: [V, kept, 3, H, W] 0…1."""
        return torch.stack([self._pictures(clip, self.preset.kept) for clip in latents.z])

    def _pictures(self, clip: Tensor, wanted: Sequence[int]) -> Tensor:
        """Some frames [n, 3, H, W] of a latent clip [C, t, h, w]."""
        found, start = [], 0
        for piece in self.tokenizer.decode_pieces(clip[None]):
            inside = [frame - start for frame in wanted if start <= frame < start + piece.shape[2]]
            found.append(piece[0][:, inside].transpose(0, 1).clamp(0, 1))
            start += piece.shape[2]
        return torch.cat(found)

    def _decode(self, views: Views, latents: Latents, conditionings: tuple[Conditioning, ...], frames: Tensor) -> Scene:
        last = self.preset.frames - 1
        times = (0, last // 2, last) if is_video(views) else (0,)
        with fast_attention(self.device):
            return decode_published(latents, self.decoder, self.tokenizer, views.cameras[0], times, self.preset.fps)

    def film(
        self,
        photo: Path,
        trajectory: str,
        chunks: int,
        options: GenerateOptions | None = None,
        progress: Progress | None = None,
    ) -> Iterator[Tensor]:
        """Imagine one trajectory longer than a clip; only its pictures are of use, the 3D decoder takes single clips.

        Args:
            photo: image file.
            trajectory: one of the eight names; its movement is spread over all frames.
            chunks: clips of T frames, each of which begins with the last frame of the one before.
            options: seed, steps, strength, and what is known of the photo.
            progress: told about every stage.

        Yields:
            the frames of each chunk, [T, 3, H, W] 0…1 on the CPU; without its first one after the first chunk.

        Raises:
            InputError: anything wrong with the photo or the options, or no chunk.
        """
        if chunks < 1:
            raise InputError(f"{chunks} chunks: give at least 1")
        options = options or GenerateOptions()
        if photo.is_dir():
            raise InputError(f"{photo} is a folder; a film begins with a photo")
        clock = Clock(progress or (lambda report: None), self.device)
        _, views = self._look(photo, options, clock)
        spec = {spec.name: spec for spec in OFFICIAL_TRAJECTORIES}.get(trajectory)
        strength = options.strength * (spec.fixed if spec is not None else NAMELESS_STRENGTH)
        frames = chunks * (self.preset.frames - 1) + 1
        camera = views.cameras[0]
        c2w = trajectory_c2w(trajectory, frames, strength, source_c2w=camera.c2w[0]).to(camera.c2w)
        cameras = replace(camera, c2w=c2w, K=camera.K.expand(frames, 3, 3).contiguous())
        yield from self._chunks(views, Trajectory(trajectory, cameras, strength), chunks, options, clock.tell)

    def _chunks(
        self, views: Views, trajectory: Trajectory, chunks: int, options: GenerateOptions, tell: Progress
    ) -> Iterator[Tensor]:
        """The frames of each chunk of a trajectory; the 3D cache grows by the last frame of each."""
        span, reduction = self.preset.frames - 1, self.preset.depth_reduction
        cache, source = start_cache(views, self.preset.cache), views.frames.rgb[0]
        sampling = self.sampling if options.steps is None else replace(self.sampling, steps=options.steps)
        for chunk in range(chunks):
            cameras = trajectory.cameras[chunk * span : (chunk + 1) * span + 1]
            if chunk > 0:
                seen_again = perceive(Frames(source[None]), self.depth_net, PerceiveConfig(None, reduction))
                cache = grow_cache(cache, source, seen_again.depth[0], cameras[0])
            seen = warp_published(cache, replace(trajectory, cameras=cameras), source, from_file=chunk == 0)
            inputs = published_inputs(seen, self.teacher.config, self.tokenizer, options.seed, self.texts[0])
            del seen

            def on_step(step: int, chunk: int = chunk) -> None:
                tell(StageReport("imagine", detail=f"{chunk * sampling.steps + step + 1}/{chunks * sampling.steps}"))

            with self._with_teacher():
                clip = imagine_published(inputs, self.teacher, sampling, options.seed, self.texts[1], on_step)
            latent = self.tokenizer.denormalize(clip.to(self.tokenizer.latent_mean))[0]
            pictures = torch.cat([part.cpu() for part in self._pieces(latent)])
            # the published programme goes on from what it shows: whole steps of 1 / 255, cut off
            source = ((pictures[-1] * 255).floor() / 255).to(self.device)
            yield pictures if chunk == 0 else pictures[1:]

    def _pieces(self, clip: Tensor) -> Iterator[Tensor]:
        with torch.no_grad():
            for piece in self.tokenizer.decode_pieces(clip[None]):
                yield piece[0].transpose(0, 1).clamp(0, 1)

    @contextmanager
    def _with_teacher(self) -> Iterator[None]:
        """Inside, the teacher has its weights."""
        if not self._reads_text and any(text is not None for text in self.texts):
            raise InputError("this teacher was opened without its cross-attention; open it with text=True")
        if self.teacher is self._shape:
            self.teacher = self._loaded_teacher()
        try:
            with fast_attention(self.device):
                yield
        finally:
            if not self.plan.teacher_stays:
                self.teacher = self._shape
                gc.collect()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _loaded_teacher(self) -> PublishedTeacher:
        choice, dtype = self.plan.choice, self.tokenizer.vae.dtype
        streamed = choice.teacher == "streamed"
        place = torch.device("cpu") if streamed else self.device

        def prepare(network: PublishedTeacher) -> None:
            if not self._reads_text:
                drop_text(network)
            if choice.products:
                multiply_in_8_bits(network)
            if choice.eight_bits:
                store_in_8_bits(network, dtype)

        def convert(name: str, tensor: Tensor) -> dict[str, Tensor]:
            if not self._reads_text and serves_text(name):
                return {}
            return stored_in_8_bits(name, tensor) if choice.products else {name: tensor}

        teacher = load_network(self.folder / "teacher", PublishedTeacher, place, dtype, prepare, convert)
        if choice.lean:
            make_lean(teacher.backbone)
        if streamed:
            stream_blocks(teacher, self.device)
        if choice.products and self.device.type == "cuda":
            compile_blocks(teacher)
        if self.ranks.share:
            share_clip(teacher, self.ranks.world)
        return teacher

    def _models(self, wording: Wording | None) -> dict[str, dict[str, str]]:
        own = {name: record for name, record in super()._models(None).items() if name == MODELS[0]}
        cards = [FolderCard.read(self.folder / role) for role in ("tokenizer", "teacher", self.preset.decoder)]
        return own | {card.name: {"sha256": card.sha256, "licence": card.licence} for card in cards}


@dataclass(frozen=True)
class NetworkShapes:
    """The networks of a model folder as their cards describe them, without weights."""

    tokenizer: CosmosTokenizer
    teacher: PublishedTeacher
    decoder: GaussianDecoder


def network_shapes(folder: Path, preset: Preset) -> NetworkShapes:
    """Read the cards of a model folder and build its networks without memory.

    Raises:
        InputError: a card is missing, a file of weights is missing or cut off, or a network is of another class.
    """
    return NetworkShapes(
        _shape(folder / "tokenizer", CosmosTokenizer),
        _shape(folder / "teacher", PublishedTeacher),
        _shape(folder / preset.decoder, GaussianDecoder),
    )


def _shape(folder: Path, kind: type[Any]) -> Any:
    from lyra.hub.config_json import config_from_dict
    from lyra.hub.registry import config_class, model_class

    card = FolderCard.read(folder)
    network = model_class(card.name)
    if not issubclass(network, kind):
        raise InputError(f"{folder} holds a {network.__name__}; a {kind.__name__} is needed here")
    config = config_from_dict(config_class(card.name), card.config, f"{folder}: config")
    with torch.device("meta"):
        return network(config)


def workload(shapes: NetworkShapes, preset: Preset, device: torch.device, text: bool) -> Workload:
    """What a run computes, for the memory plan."""
    return Workload(
        shapes.teacher.config,
        shapes.tokenizer.config,
        shapes.decoder.config,
        preset.frames,
        preset.height,
        preset.width,
        len(preset.trajectories),
        2 if device.type == "cuda" else 4,
        text,
    )


def device_memory(device: torch.device, limit: float | None) -> int:
    """Bytes that may be used on the device: what is free, or the limit in GiB if that is less.

    Raises:
        InputError: a limit that is not a positive number.
    """
    if limit is not None and not limit > 0:
        raise InputError(f"memory {limit:g} GiB should be above 0")
    free = torch.cuda.mem_get_info(device)[0] if device.type == "cuda" else host_memory()
    if limit is not None:
        free = min(free, int(limit * GIB))
    return free - (DEVICE_RESERVE if device.type == "cuda" else 0)


def host_memory() -> int:
    """Bytes of host memory that can be taken; very many where the system does not say."""
    listing = Path("/proc/meminfo")
    if listing.is_file():
        for line in listing.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    return 1 << 62


def sized(preset: Preset, options: LoadOptions) -> Preset:
    """The preset with the size that was asked for.

    Raises:
        InputError: a size that the weights were not trained for, without ``force``; or one that no network takes.
    """
    if options.size is None or options.size == (preset.height, preset.width):
        return preset
    height, width = options.size
    if height < 16 or width < 16 or height % 16 or width % 16:
        raise InputError(f"size {height}x{width} should be multiples of 16 pixels")
    if not options.force:
        raise InputError(
            f"these weights were trained at {preset.height}x{preset.width} and hold only there, {height}x{width} was "
            "asked for; leave the size out, or add --force to try"
        )
    return replace(preset, height=height, width=width)


def is_video(views: Views) -> bool:
    """Whether the source is a video, not a photo."""
    return len(views.cameras) > 1


def require_video_choices(folder: Path, preset: Preset, options: GenerateOptions) -> None:
    """Refuse a folder that is no video with geometry, and what does not go with one.

    Raises:
        InputError: files are missing; a decoder of still scenes; or a choice that belongs to a photo.
    """
    clip_files(folder)
    if preset.decoder != "decoder-dynamic":
        raise InputError(
            "this model folder has a 3D decoder of still scenes, a video needs the one of moving scenes; "
            "import the checkpoints with --decoder dynamic"
        )
    given = {"depth": options.depth, "camera": options.cameras, "field of view": options.fov}
    for name, value in given.items():
        if value is not None:
            raise InputError(f"video folder {folder} brings depth and cameras of its own; leave the {name} out")


def require_trained(preset: Preset, options: GenerateOptions, force: bool) -> None:
    """Refuse what the weights are not used with.

    Raises:
        InputError: words instead of their embedding; or other than the six trajectories, without ``force``.
    """
    if options.prompt is not None:
        raise InputError(
            "published networks read text as stored embeddings; give them with --text and --negative-text, or leave "
            "the prompt out"
        )
    if force:
        return
    if options.cameras is not None:
        raise InputError("these weights are used with all six trajectories, not with a camera file; add --force to try")
    if options.trajectories is not None and set(options.trajectories) != set(preset.trajectories):
        raise InputError(
            f"these weights are used with all {len(preset.trajectories)} trajectories, {len(options.trajectories)} "
            "were asked for; leave them out, or add --force to try"
        )
