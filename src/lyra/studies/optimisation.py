"""One forward pass against optimisation: Gaussians fitted to the teacher's frames, scene by scene."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lyra.evaluation.protocol import report_head, require_at_least, require_size
from lyra.evaluation.scores import ScoreSheet, score_clip
from lyra.evaluation.unseen import is_late, path_generator, picture_world
from lyra.geometry import unproject
from lyra.geometry.gaussian_sets import FOOTPRINT, joined, of_pixels
from lyra.hub import load_model
from lyra.models.depth import aligned_depth
from lyra.models.perceptual import SqueezePerceptual
from lyra.pipeline import FRAMES, Pipeline, resolve_device, warp_along
from lyra.raster import available_backends, render
from lyra.results import GenerateOptions
from lyra.stages import cover, decode, imagine, plan, refine, thin
from lyra.structures import Cameras, Conditioning, Gaussians, InputError, Views
from lyra.studies.fit import optimise
from lyra.studies.telling import Tell, since_now
from lyra.worlds import load_textures

HELD_OUT = tuple(range(2, FRAMES, 4))
"""Frames of every clip that are not fitted: 2, 6, 10 and 14."""
METHODS = ("optimised", "decoder", "scene")
MOST_STEPS = 1_000_000
"""Their pictures are drawn beforehand, one number each."""

_TURNS = "at first", "again"
_START_FRAMES, _START_STRIDE, _OPACITY = (8, 16), 2, 0.8


@dataclass(frozen=True)
class OptimisationProtocol:
    """Which scenes are fitted, and for how long.

    Attributes:
        split: whose worlds.
        count: worlds.
        steps: of optimisation, one picture each.
        seed: of the paths, the teacher's noise and the order of pictures.
        textures: texture pack, ``None`` for the usual places.
        device: ``auto``, ``cpu``, ``cuda``.
        height, width: of the pictures, multiples of 32.

    Raises:
        InputError: a number that leaves nothing to fit, or that the road refuses.
    """

    split: Literal["val", "test"] = "test"
    count: int = 3
    steps: int = 7000
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    height: int = 256
    width: int = 448

    def __post_init__(self) -> None:
        require_at_least(1, count=self.count)
        if not 1 <= self.steps <= MOST_STEPS:
            raise InputError(f"steps {self.steps} is outside 1…{MOST_STEPS}; 7000 are usual")
        require_size(self.height, self.width)
        GenerateOptions(seed=self.seed)


def evaluate_optimisation(
    protocol: OptimisationProtocol, pipeline: Pipeline | None = None, tell: Tell = print
) -> dict[str, Any]:
    """Fit Gaussians to the teacher's frames of unseen worlds, and compare with what the decoder makes of its latents.

    Every fourth frame is kept from the fit. The fit begins with as dense points as the decoder has: the source's own,
    and those of two imagined frames of each clip where the source shows nothing, at predicted depth; nothing is added
    or removed later. Both sides are given the teacher's clips; the time to imagine them is told apart.

    What is timed before the fit runs twice for every world, and the first time, which compiles and loads kernels for
    sizes that were not met before, does not count. Every line that is told begins with the seconds since the start.

    Returns:
        ``methods``: by name the scores of held-out frames against the teacher's and the true ones, and seconds and
        Gaussians per scene, from the clips on; ``forward_seconds``, of the decoder's network alone, which is a part
        of ``decoder`` (that also finds the depth of its anchors), as this is of ``scene``; ``clips_seconds`` from the
        photo to the clips; ``ratio``, how many times faster the finished scene is than the optimised one, from
        the clips on; ``ratio_forward``, how many times faster the network alone is; ``ratio_road``, the same
        of whole roads that begin with the photo; ``gap_teacher`` and ``gap_true``, how many dB the finished
        scene stays behind.
    """
    device = resolve_device(protocol.device)
    tell = since_now(tell)
    by_gsplat = device.type == "cuda" and "cuda" in available_backends()
    tell(f"{_device_name(device)}, Gaussians drawn by {'gsplat' if by_gsplat else 'the CPU'}")
    pipeline = pipeline or Pipeline.load(device)
    perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
    tell("networks are loaded")
    textures = load_textures(protocol.textures, protocol.split)
    store = textures.to(device)
    tell("textures are loaded")
    sheets = {(name, kind): ScoreSheet() for name in METHODS for kind in ("teacher", "true")}
    seconds: dict[str, list[float]] = {name: [] for name in METHODS}
    counts: dict[str, list[int]] = {name: [] for name in METHODS}
    to_clips: list[float] = []
    forward: list[float] = []
    size = (protocol.height, protocol.width)
    held = torch.tensor(HELD_OUT, device=device)
    fitted = torch.tensor([frame for frame in range(FRAMES) if frame not in HELD_OUT], device=device)
    for index in range(protocol.count):
        which = f"world {index + 1}/{protocol.count}"
        began = _clock(device)
        world = picture_world(index, textures, store, size)
        K = world.camera.K
        tell(f"{which}: pictured in {_clock(device) - began:.2f} s")
        for turn in _TURNS:
            began = _clock(device)
            with torch.no_grad():
                estimate = world.predicted_depth(pipeline.depth_net)
                views = world.views(estimate)
                paths = plan(views, FRAMES, generator=path_generator(protocol.seed, index))
                caches = warp_along(views, paths)
                latents = imagine(caches, pipeline.teacher, pipeline.tokenizer, None, protocol.seed)
                teacher = pipeline.imagine_frames(latents, caches).clamp(0, 1)
            made_clips = _clock(device) - began
            tell(f"{which}: clips in {made_clips:.2f} s {turn}")
        to_clips.append(made_clips)
        began = _clock(device)
        c2w = torch.stack([path.cameras.c2w for path in paths]).to(device)
        truth = world.film(c2w[:, held]).rgb[0].clamp(0, 1).flatten(0, 1)
        tell(f"{which}: true views in {_clock(device) - began:.2f} s")

        made: dict[str, Gaussians] = {}
        networks = pipeline.decoder, pipeline.tokenizer, pipeline.depth_net
        for turn in _TURNS:
            with _timed_forward(pipeline.decoder, device) as passes:
                began = _clock(device)
                decoded = decode(views, latents, caches, teacher, *networks)
                between = _clock(device)
            covered = cover(decoded, views, caches, teacher, pipeline.depth_net)
            scene = refine(thin(covered, paths), views, caches, teacher, seed=protocol.seed, unseen=HELD_OUT)
            ended = _clock(device)
            tell(f"{which}: decoder in {between - began:.2f} s, scene in {ended - began:.2f} s {turn}")
        seconds["decoder"].append(between - began)
        seconds["scene"].append(ended - began)
        forward.append(sum(passes))
        made["decoder"], made["scene"] = decoded.gaussians[0], scene.gaussians[0]

        began = _clock(device)
        start = starting_points(views, caches, teacher, pipeline)
        tell(f"{which}: {len(start.means):,d} points to start with in {_clock(device) - began:.2f} s")
        poses = c2w[:, fitted].flatten(0, 1)
        torch.manual_seed(protocol.seed + index)
        pictures = teacher[:, fitted].flatten(0, 1)
        made["optimised"] = optimise(start, pictures, poses, K.expand(len(poses), 3, 3), protocol.steps, tell)
        seconds["optimised"].append(_clock(device) - began)

        unseen = Cameras(c2w[:, held].flatten(0, 1), K.expand(len(truth), 3, 3), *size)
        imagined = teacher[:, held].flatten(0, 1)
        holes = torch.stack([~cache.mask[held] for cache in caches]).flatten(0, 1)
        late = is_late(held.repeat(len(c2w)), FRAMES)
        for name, gaussians in made.items():
            counts[name].append(len(gaussians.means))
            images = render(gaussians, unseen).rgb
            for kind, reference in (("teacher", imagined), ("true", truth)):
                sheets[name, kind].add(score_clip(images, reference, holes, late, perceptual))
        tell(f"{which}: " + ", ".join(_said(name, sheets, seconds) for name in METHODS))
    methods = {
        name: {
            "teacher": sheets[name, "teacher"].means(),
            "true": sheets[name, "true"].means(),
            "seconds": _mean(seconds[name]),
            "gaussians": round(_mean([float(count) for count in counts[name]])),
        }
        for name in METHODS
    }
    gaps = {kind: sheets["optimised", kind].means()["psnr_all"] - sheets["scene", kind].means()["psnr_all"]
            for kind in ("teacher", "true")}  # fmt: skip
    clips, optimised, finished = _mean(to_clips), _mean(seconds["optimised"]), _mean(seconds["scene"])
    return {
        **report_head(protocol, textures),
        "device": _device_name(device),
        "methods": methods,
        "clips_seconds": clips,
        "forward_seconds": _mean(forward),
        "ratio": optimised / finished,
        "ratio_forward": optimised / _mean(forward),
        "ratio_road": (clips + optimised) / (clips + finished),
        **{f"gap_{kind}": round(gap, 4) for kind, gap in gaps.items()},
    }


@torch.no_grad()
def starting_points(views: Views, caches: tuple[Conditioning, ...], teacher: Tensor, pipeline: Pipeline) -> Gaussians:
    """A Gaussian for every pixel of the source, and for every second one of two frames of each clip that it hides.

    Args:
        views: the source.
        caches: of the clips.
        teacher: [V, T, 3, H, W] the clips.
        pipeline: whose depth network sees the imagined frames.
    """
    K = views.cameras.K[0]
    parts = [_lifted(views.frames.rgb[0], views.depth[0], views.mask[0], K, views.cameras.c2w[0], 1)]
    for cache, clip in zip(caches, teacher, strict=True):
        for frame in _START_FRAMES:
            at = slice(frame, frame + 1)
            depth = aligned_depth(pipeline.depth_net, clip[at], cache.depth[at], cache.mask[at])[0]
            c2w = cache.trajectory.cameras.c2w[frame].to(depth.device)
            parts.append(_lifted(clip[frame], depth, ~cache.mask[frame], K, c2w, _START_STRIDE))
    return joined(*parts)


def _lifted(rgb: Tensor, depth: Tensor, wanted: Tensor, K: Tensor, c2w: Tensor, stride: int) -> Gaussians:
    """Round Gaussians at the wanted pixels of a picture [3, H, W], every ``stride``-th along each side."""
    grid = (slice(stride // 2, None, stride),) * 2
    keep = wanted[grid]
    points, colors = unproject(depth, K, c2w)[grid][keep], rgb.permute(1, 2, 0)[grid][keep].clamp(0, 1)
    return of_pixels(points, depth[grid][keep], colors, K, stride * FOOTPRINT, _OPACITY)


def optimisation_table(report: dict[str, Any]) -> str:
    """The report as plain text."""
    lines = [
        f"{'':10s}| held-out frames of the teacher | true views of the same   | seconds | Gaussians",
        f"{'':10s}|         PSNR   SSIM lpips_sq   |   PSNR   SSIM lpips_sq   |         |",
    ]
    for name, row in report["methods"].items():
        cells = [f"{name:10s}"]
        for kind, space in (("teacher", 13), ("true", 7)):
            scores = row[kind]
            cells.append(f"{scores['psnr_all']:{space}.2f} {scores['ssim_all']:6.3f} {scores['lpips_all']:8.3f}   ")
        cells.append(f"{row['seconds']:8.3f} ")
        cells.append(f"{row['gaussians']:10,d}")
        lines.append("|".join(cells))
    lines.append(
        f"seconds are from the teacher's clips on; from the photo to the clips {report['clips_seconds']:.3f}, the "
        f"decoder's network alone {report['forward_seconds']:.3f}"
    )
    lines.append(
        f"the finished scene is {report['ratio']:.3g} times as fast (the network alone {report['ratio_forward']:.3g} "
        f"times; with what makes the clips, on both sides, {report['ratio_road']:.3g} times)"
    )
    lines.append(
        f"and lies {_against(report['gap_teacher'])} the optimised one on the teacher's frames, "
        f"{_against(report['gap_true'])} it on true views"
    )
    return "\n".join(lines)


def _against(gap: float) -> str:
    return f"{abs(gap):.2f} dB {'below' if gap >= 0 else 'above'}"


def _said(name: str, sheets: dict[tuple[str, str], ScoreSheet], seconds: dict[str, list[float]]) -> str:
    return f"{name} {_mean(sheets[name, 'teacher'].psnr_all):.2f} dB in {seconds[name][-1]:.2f} s"


@contextmanager
def _timed_forward(network: torch.nn.Module, device: torch.device) -> Iterator[list[float]]:
    """Collects the seconds of every pass through a network."""
    passes: list[float] = []
    hooks = (
        network.register_forward_pre_hook(lambda *_: passes.append(-_clock(device))),
        network.register_forward_hook(lambda *_: passes.append(passes.pop() + _clock(device))),
    )
    try:
        yield passes
    finally:
        for hook in hooks:
            hook.remove()


def _device_name(device: torch.device) -> str:
    return torch.cuda.get_device_name(device) if device.type == "cuda" else "cpu"


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
