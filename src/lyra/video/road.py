"""One chunk of a video through all stages, and what it hands to the next."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.geometry import compose
from lyra.geometry.cameras import intrinsics_from_fov
from lyra.geometry.gaussian_sets import joined
from lyra.pipeline import Pipeline
from lyra.stages import (
    CameraPath,
    RecolorConfig,
    RefineConfig,
    ThinConfig,
    background_plate,
    behind,
    cover_moment,
    decode_hidden,
    decode_visible,
    draw_edges,
    edge_gaussians,
    imagine,
    locate,
    plan_moving,
    recolor,
    refine_moment,
    scale_to_depth,
    steady,
    still_cameras,
    thin,
    unlike,
    warp_moving,
)
from lyra.structures import Cameras, Conditioning, Frames, Gaussians, Latents, Scene, Trajectory, Views
from lyra.video.chunks import Chunk
from lyra.video.options import VideoOptions

_CLIPS_A_STEP = 2
"""Clips that each step of refining a moment looks at, beside the source picture."""
_COVERED = (1.0, 0.5)
"""Where, as a share of the clip, gaps are filled for all times: the cameras are far away there."""
_LARGEST_POOL = 250_000


@dataclass(frozen=True)
class Handover:
    """What a chunk hands to the next one: memory does not grow with the length of the video.

    Attributes:
        depth: [S, H, W] final depth of the frames that both share.
        cameras: S cameras of them, in the world of the whole clip.
        pool: what stands still and was hidden so far.
        factor: what lengths of given cameras are multiplied by, found on the first chunk.
    """

    depth: Tensor
    cameras: Cameras
    pool: Gaussians
    factor: float = 1.0


@dataclass(frozen=True)
class Moment:
    """Gaussians of one time.

    Attributes:
        frame: of the whole clip.
        gaussians: the set.
        source: the camera of the video then.
        dropped: how many Gaussians thinning left out.
    """

    frame: int
    gaussians: Gaussians
    source: Cameras
    dropped: int = 0


@dataclass(frozen=True)
class MovingChunk:
    """Every station of one chunk.

    Attributes:
        chunk: which frames.
        views: T source pictures with steady depth and cameras, filled up to the teacher's length.
        path: how the cameras were found.
        trajectories: V camera paths of T.
        conditionings, latents, frames: 4D caches, imagined clips, their pictures [V, T, 3, H, W].
        moments: sets of Gaussians of the times asked for.
        handover: for the next chunk, ``shared`` frames long.
    """

    chunk: Chunk
    views: Views
    path: CameraPath
    trajectories: tuple[Trajectory, ...]
    conditionings: tuple[Conditioning, ...]
    latents: Latents
    frames: Tensor
    moments: tuple[Moment, ...]
    handover: Handover


@dataclass(frozen=True)
class MovingRoad:
    """The stages of a moving scene, with the networks of a pipeline.

    Attributes:
        networks: loaded once.
        options: of the caller.
        cameras: cameras of the whole clip from elsewhere, the first at the identity; None to estimate or stand still.
        scaled: whether their lengths are scene units.
        given_words: how they came.
        fov: horizontal field of view of the fitted pictures in radians, where it is known.
    """

    networks: Pipeline
    options: VideoOptions
    cameras: Cameras | None = None
    scaled: bool = True
    given_words: str = ""
    fov: float | None = None
    length: int = 17

    @torch.no_grad()
    def perceive(self, rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Depth [T, H, W] of pictures [T, 3, H, W], each for itself, and their median field of view in radians."""
        found = [self.networks.depth_net.infer(picture[None], thorough=False) for picture in rgb]
        return torch.cat([depth for depth, _, _ in found]), torch.cat([fov for _, _, fov in found]).median()

    def intrinsics(self, fov: Tensor, height: int, width: int) -> Tensor:
        """[3, 3] of the whole clip."""
        if self.cameras is not None:
            return self.cameras.K[0]
        angle = torch.tensor(self.fov) if self.fov is not None else fov.cpu()
        return intrinsics_from_fov(angle, height, width)

    @torch.no_grad()
    def run(
        self,
        chunk: Chunk,
        rgb: Tensor,
        wanted: Sequence[int],
        before: Handover | None,
        K: Tensor | None = None,
        shared: int = 0,
        stage: Callable[[str], AbstractContextManager[None]] | None = None,
        on_step: Callable[[int, int], None] | None = None,
    ) -> MovingChunk:
        """Go the whole road for one chunk.

        Args:
            chunk: which frames.
            rgb: [count, 3, H, W] 0…1 its pictures on the device of the networks.
            wanted: frames of the whole clip, those of this chunk that get Gaussians.
            before: what the chunk before handed over.
            K: [3, 3] intrinsics that chunk had, None for the first.
            shared: last frames to hand over: those that the next chunk begins with.
            stage: times each stage.
            on_step: told about the teacher's steps.
        """
        times = stage or _untimed
        networks, options = self.networks, self.options
        height, width = rgb.shape[-2:]
        with times("perceive"):
            raw, fov = self.perceive(rgb)
            K = (self.intrinsics(fov, height, width) if K is None else K).to(rgb)
        with times("cameras"):
            path, factor = self._locate(chunk, rgb, raw, K, before)
        with times("steady"):
            known = None if before is None else before.depth
            depth = steady(rgb, raw, path.cameras, known=known)
        views = self._filled(Views(Frames(rgb), depth, torch.ones_like(depth, dtype=torch.bool), path.cameras))
        generator = torch.Generator().manual_seed(options.seed)
        trajectories = plan_moving(views, options.trajectories, options.strength, generator)
        with times("warp"):
            edges = [edge_gaussians(views, number) for number in range(len(views.depth))]
            conditionings = tuple(draw_edges(warp_moving(views, trajectory), *edges) for trajectory in trajectories)
        steps = options.steps or networks.teacher.config.steps
        with times("imagine"):
            latents = imagine(
                conditionings, networks.teacher, networks.tokenizer, steps, options.seed, on_step, exact=options.exact
            )
        with times("frames"):
            frames = networks.imagine_frames(latents, conditionings, options.exact)
        moments = sorted({frame - chunk.first for frame in wanted})
        with times("decode"):
            visible, hidden = self._decode(views, conditionings, latents, frames, moments)
        with times("cover"):
            sets, pool = self._assemble(views, conditionings, frames, moments, visible, hidden, before)
        counts = [len(one) for one in sets]
        most = ThinConfig(networks.preset.most_gaussians if options.gaussians is None else options.gaussians)
        if most.most and max(counts, default=0) > most.most:
            with times("thin"):
                sets = [
                    thin(Scene((one,), views.cameras[time]), trajectories, most, moment=time).gaussians[0]
                    for one, time in zip(sets, moments, strict=True)
                ]
        refining = RefineConfig(options.refine or 0, pictures=_CLIPS_A_STEP)
        steps, rounds = networks.preset.settling(refining.steps, options.recolor)
        if rounds:
            with times("recolor"):
                sets = [self._recolored(one, views, time, rounds) for one, time in zip(sets, moments, strict=True)]
        if steps:
            with times("refine"):
                sets = [
                    refine_moment(one, views, time, conditionings, frames, refining, options.seed)
                    for one, time in zip(sets, moments, strict=True)
                ]
        made = tuple(
            Moment(chunk.first + time, one, views.cameras[time], count - len(one))
            for one, time, count in zip(sets, moments, counts, strict=True)
        )
        tail = slice(max(0, chunk.count - shared), chunk.count)
        handover = Handover(depth[tail].clone(), path.cameras[tail], pool, factor)
        return MovingChunk(chunk, views, path, trajectories, conditionings, latents, frames, made, handover)

    def _locate(
        self, chunk: Chunk, rgb: Tensor, raw: Tensor, K: Tensor, before: Handover | None
    ) -> tuple[CameraPath, float]:
        """Cameras of the chunk in the world of the whole clip, and what lengths of given ones were multiplied by."""
        if self.cameras is not None:
            part = self.cameras[slice(chunk.first, chunk.first + chunk.count)].to(rgb.device)
            return self._scaled(part, rgb, raw, before)
        if self.options.cameras == "static":
            still = still_cameras(len(rgb), K, *rgb.shape[-2:])
            return CameraPath(still, "static", 1.0, "the camera is said to stand still"), 1.0
        if before is None:
            return locate(Frames(rgb), raw, K, self.options.seed), 1.0
        depth = raw.clone()
        depth[: chunk.shared] = before.depth
        path = locate(Frames(rgb), depth, K, self.options.seed)
        c2w = compose(before.cameras.c2w[:1], path.cameras.c2w)
        c2w[: chunk.shared] = before.cameras.c2w
        return replace(path, cameras=replace(path.cameras, c2w=c2w)), 1.0

    def _scaled(self, part: Cameras, rgb: Tensor, raw: Tensor, before: Handover | None) -> tuple[CameraPath, float]:
        """Given cameras of a chunk in scene units; the first chunk says what a length of theirs is."""
        words = self.given_words
        if self.scaled:
            return CameraPath(part, "given", 1.0, words), 1.0
        factor = 1.0 if before is None else before.factor
        if before is None:
            found = scale_to_depth(Frames(rgb), raw, part)
            factor = found or 1.0
            words += "" if found else "; their scale could not be found and was kept"
        c2w = part.c2w.clone()
        c2w[:, :3, 3] *= factor
        return CameraPath(replace(part, c2w=c2w), "given", 1.0, words), factor

    def _filled(self, views: Views) -> Views:
        """The views with the last one repeated up to the teacher's length."""
        count = len(views.frames)
        if count >= self.length:
            return views
        index = torch.arange(self.length).clamp(max=count - 1)
        return Views(
            Frames(views.frames.rgb[index], views.frames.fps), views.depth[index], views.mask[index],
            views.cameras[index],
        )  # fmt: skip

    def _decode(
        self,
        views: Views,
        conditionings: tuple[Conditioning, ...],
        latents: Latents,
        frames: Tensor,
        moments: Sequence[int],
    ) -> tuple[list[Gaussians], list[Gaussians]]:
        networks = self.networks
        visible = decode_visible(views, networks.decoder, networks.tokenizer, moments)
        hidden = decode_hidden(
            views, latents, conditionings, frames, networks.decoder, networks.tokenizer, networks.depth_net,
            list(moments) or [0],
        )  # fmt: skip
        return list(visible), list(hidden)

    def _assemble(
        self,
        views: Views,
        conditionings: tuple[Conditioning, ...],
        frames: Tensor,
        moments: Sequence[int],
        visible: list[Gaussians],
        hidden: list[Gaussians],
        before: Handover | None,
    ) -> tuple[list[Gaussians], Gaussians]:
        """The set of each moment, and the pool of what stands still."""
        networks, last = self.networks, len(views.frames) - 1
        old = before.pool if before is not None else hidden[0][:0]
        centre = views.cameras.c2w[0, :3, 3]
        plate = background_plate(views, (0, last, last // 2))
        timed = networks.decoder.config.pooled_time
        plate, *fresh = (more[unlike(more, old, centre)] for more in (plate, *(hidden if timed else hidden[:1])))
        covers: list[Gaussians] = []
        for share in _COVERED if networks.preset.cover else ():
            time = round(share * last)
            pool = joined(old, plate, fresh[-1], *covers)
            shown = decode_visible(views, networks.decoder, networks.tokenizer, [time])[0]
            here = joined(shown, pool[behind(pool, views, time)])
            covers.append(cover_moment(here, views, conditionings, frames, networks.depth_net, time))
        sets = []
        for number, time in enumerate(moments):
            pool = joined(old, plate, fresh[number if timed else 0], *covers)
            one = joined(visible[number], pool[behind(pool, views, time)])
            if networks.preset.cover and self.options.moment_cover and time > 0:
                one = joined(one, cover_moment(one, views, conditionings, frames, networks.depth_net, time))
            sets.append(one)
        pool = joined(old, plate, fresh[-1], *covers)
        return sets, pool[max(0, len(pool) - _LARGEST_POOL) :]

    def _recolored(self, gaussians: Gaussians, views: Views, time: int, rounds: int) -> Gaussians:
        part = slice(time, time + 1)
        here = Views(views.frames[part], views.depth[part], views.mask[part], views.cameras[time])
        return recolor(Scene((gaussians,), views.cameras[time]), here, RecolorConfig(rounds)).gaussians[0]


@contextmanager
def _untimed(name: str) -> Iterator[None]:
    yield
