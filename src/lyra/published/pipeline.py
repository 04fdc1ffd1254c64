"""The road with the published networks: loaded when needed, one trajectory at a time, on one or several GPUs."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from lyra.clock import Clock
from lyra.data.vipe import read_vipe
from lyra.geometry.trajectories import OFFICIAL_TRAJECTORIES, trajectory_c2w
from lyra.hub import load_model
from lyra.hub.folder_card import FolderCard
from lyra.hub.memory_plan import MemoryPlan, plan_memory
from lyra.hub.model_folder import load_network
from lyra.io.images import Photo
from lyra.models.decoder import GaussianDecoder
from lyra.models.depth import DepthNet
from lyra.models.teacher import PublishedInputs, PublishedTeacher
from lyra.models.teacher.offload import require_streaming
from lyra.models.teacher.parallel import require_equal_shares
from lyra.models.teacher.speed import can_be_fast
from lyra.models.tokenizer import CosmosTokenizer
from lyra.nn import fast_attention
from lyra.pipeline import MODELS, Pipeline, resolve_device
from lyra.preset import Preset, preset_of
from lyra.published.choices import LoadOptions, is_video, require_trained, require_video_choices, sized
from lyra.published.memory import device_memory, host_memory, network_shapes, workload
from lyra.published.ranks import Ranks
from lyra.published.teacher_loading import load_teacher
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
        work, host = workload(shapes, preset, device, options.text), host_memory() // ranks.beside
        if ranks.share:
            require_equal_shares(ranks.world, work.tokens, shapes.teacher.config.heads)
        plan = plan_memory(
            work,
            device_memory(device, options.memory, host),
            host,
            options.eight_bits,
            options.fast and not ranks.share and can_be_fast(device),
        )
        if plan.choice.teacher == "streamed":
            require_streaming()
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
        prompt = self.texts[0]
        seen: dict[int, Conditioning] = {}
        inputs: dict[int, PublishedInputs] = {}
        with clock.stage("warp"):
            seen_along = self._sight(views)
            for number in mine:
                clock.tell(StageReport("warp", detail=trajectories[number].name))
                whole = seen_along(trajectories[number])
                inputs[number] = published_inputs(whole, self.teacher.config, self.tokenizer, options.seed, prompt)
                seen[number] = whole.frames(self.preset.kept)
        sampling = self._sampling(options)
        clips: dict[int, Tensor] = {}
        with clock.stage("imagine", f"{len(trajectories)} trajectories x {sampling.steps} steps"), self._with_teacher():
            for place, number in enumerate(mine):

                def on_step(step: int, place: int = place) -> None:
                    done, total = place * sampling.steps + step + 1, sampling.steps * len(mine)
                    clock.tell(StageReport("imagine", detail=f"{done}/{total}"))

                clips[number] = self._clip(inputs[number], sampling, options.seed, on_step)
        return self._gathered(trajectories, seen, clips)

    def _sampling(self, options: GenerateOptions) -> PublishedSampling:
        return self.sampling if options.steps is None else replace(self.sampling, steps=options.steps)

    def _clip(
        self, inputs: PublishedInputs, sampling: PublishedSampling, seed: int, on_step: Callable[[int], None]
    ) -> Tensor:
        """Raw latents [C, t, h, w] of one clip; the teacher must have its weights."""
        clip = imagine_published(inputs, self.teacher, sampling, seed, self.texts[1], on_step)
        return self.tokenizer.denormalize(clip.to(self.tokenizer.latent_mean))[0]

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
        for piece in self._pieces(clip):
            found.append(piece[[frame - start for frame in wanted if start <= frame < start + len(piece)]])
            start += len(piece)
        return torch.cat(found)

    def _pieces(self, clip: Tensor) -> Iterator[Tensor]:
        """The frames [n, 3, H, W] 0…1 of a latent clip [C, t, h, w], some at a time."""
        for piece in self.tokenizer.decode_pieces(clip[None]):
            yield piece[0].transpose(0, 1).clamp(0, 1)

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
        sampling = self._sampling(options)
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
                clip = self._clip(inputs, sampling, options.seed, on_step)
            with torch.no_grad():
                pictures = torch.cat([part.cpu() for part in self._pieces(clip)])
            # the published programme goes on from what it shows: whole steps of 1 / 255, cut off
            source = ((pictures[-1] * 255).floor() / 255).to(self.device)
            yield pictures if chunk == 0 else pictures[1:]

    @contextmanager
    def _with_teacher(self) -> Iterator[None]:
        """Inside, the teacher has its weights."""
        if not self._reads_text and any(text is not None for text in self.texts):
            raise InputError("this teacher was opened without its cross-attention; open it with text=True")
        if self.teacher is self._shape:
            dtype, sharing = self.tokenizer.vae.dtype, self.ranks.world if self.ranks.share else 1
            self.teacher = load_teacher(
                self.folder / "teacher", self.plan.choice, self.device, dtype, self._reads_text, sharing
            )
        try:
            with fast_attention(self.device):
                yield
        finally:
            if not self.plan.teacher_stays:
                self.teacher = self._shape
                gc.collect()
                if self.device.type == "cuda":
                    torch.cuda.empty_cache()

    def _models(self, wording: Wording | None) -> dict[str, dict[str, str]]:
        own = {name: record for name, record in super()._models(None).items() if name == MODELS[0]}
        cards = [FolderCard.read(self.folder / role) for role in ("tokenizer", "teacher", self.preset.decoder)]
        return own | {card.name: {"sha256": card.sha256, "licence": card.licence} for card in cards}
