"""Unseen worlds in which things move: true views at other cameras and the same times, flicker, and camera estimates."""

import importlib.util
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lyra.evaluation.protocol import report_head, require_at_least, require_size, require_stride
from lyra.evaluation.scores import ScoreSheet, score_clip
from lyra.evaluation.unseen import departs, is_late, path_generator, scored_frames
from lyra.geometry.bundle import camera_errors
from lyra.geometry.fill import fill_nearest
from lyra.geometry.handheld import handheld_c2w
from lyra.hub import load_model
from lyra.io.colmap_run import place_by_colmap
from lyra.metrics import psnr
from lyra.models.depth import photo_depth
from lyra.models.perceptual import SqueezePerceptual
from lyra.pipeline import Pipeline, resolve_device, warp_along
from lyra.raster import render
from lyra.results import GenerateOptions
from lyra.stages import ThinConfig, cover, decode, imagine, locate, plan, recolor, thin, warp_moving
from lyra.structures import Cameras, Frames, Gaussians, Views
from lyra.video import Chunk, MovingRoad, VideoOptions
from lyra.worlds import TextureStore, WorldBatch, collate, film, load_textures, sample_world
from lyra.worlds.textures import TextureSet

RATE = 12.0
FLICKER = (10, 11)
"""Moments whose renders from one fixed camera are compared."""
MOVED, STILL = 0.03, 0.01
"""Change of colour from which on a pixel moves, and up to which it stands still."""
REACH, DEGREES = 0.25, 8.0
"""Of the cameras that are carried."""
METHODS = ("source_repeated", "warp_nearest", "teacher", "scene")


@dataclass(frozen=True)
class MovingProtocol:
    """Which worlds are scored and how.

    Attributes:
        split, steps, seed, textures, device, height, width, stride: as in `lyra.evaluation.worlds.WorldsProtocol`.
        count: worlds in which something moves, the first of the split; the camera stands still.
        first: of the moving worlds of the split so many are passed over.
        cameras: worlds filmed by hand, whose cameras are estimated.
        frames: of each clip, at 12 a second.
        independent: whether flicker is compared with scenes of single frames, which takes twice as long.
        gaussians: what the scene is thinned to at each time; 0 keeps all.

    Raises:
        InputError: a number that leaves nothing to score, or that the road refuses.
    """

    split: Literal["val", "test"] = "test"
    count: int = 8
    steps: int | None = None
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    height: int = 256
    width: int = 448
    stride: int = 5
    first: int = 0
    cameras: int = 16
    frames: int = 17
    independent: bool = True
    gaussians: int = ThinConfig().most

    def __post_init__(self) -> None:
        require_at_least(1, count=self.count)
        require_at_least(0, first=self.first, cameras=self.cameras)
        require_at_least(FLICKER[-1] + 1, frames=self.frames)
        require_stride(self.stride, self.frames)
        require_size(self.height, self.width)
        GenerateOptions(seed=self.seed, steps=self.steps, gaussians=self.gaussians)


@torch.no_grad()
def evaluate_moving_worlds(
    protocol: MovingProtocol | None = None,
    pipeline: Pipeline | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score the road of moving scenes on unseen worlds filmed from a tripod.

    The true intrinsics are given, depth is predicted; frame i of a trajectory is compared with what its camera sees at
    time i. Disoccluded pixels are those that a 4D warp with the TRUE depth leaves open. Moving pixels are those that
    look different at time 0. Flicker is the mean change between two moments, seen by the farthest camera of the first
    trajectory standing still, over pixels that truly stay the same.

    Returns:
        ``methods`` against the true views, whole frames and disoccluded pixels; ``moving`` and ``still``: PSNR on these
        pixels; ``scene_vs_teacher``; ``flicker``; ``cameras``.
    """
    protocol = protocol or MovingProtocol()
    device = resolve_device(protocol.device)
    pipeline = pipeline or Pipeline.load(device)
    perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
    textures = load_textures(protocol.textures, protocol.split)
    store = textures.to(device)
    sheets = {name: ScoreSheet() for name in METHODS}
    agreement = ScoreSheet()
    parts: dict[str, dict[str, list[float]]] = {kind: {name: [] for name in METHODS} for kind in ("moving", "still")}
    flicker: dict[str, list[float]] = {"scene": [], "independent": [], "truth": []}
    scored = scored_frames(protocol.frames, protocol.stride)
    late = is_late(torch.tensor(scored, device=device), protocol.frames)
    for number, world in enumerate(_moving_worlds(protocol, textures)):
        stage = _Stage(collate([world], device), store, protocol, device)
        seed = (protocol.seed * 100_003 + number) % 2**31  # a video's seeds end there
        options = VideoOptions(cameras="static", seed=seed, steps=protocol.steps, gaussians=protocol.gaussians)
        road = MovingRoad(pipeline, options, fov=stage.fov)
        chunk = Chunk(0, 0, protocol.frames, 0)
        made = road.run(chunk, stage.rgb, sorted({*scored, *FLICKER}), None)
        sets = {moment.frame: moment.gaussians for moment in made.moments}
        exact = Views(made.views.frames, stage.depth, made.views.mask, made.views.cameras)
        c2w = torch.stack([path.cameras.c2w for path in made.trajectories])
        truth = stage.film(c2w[:, scored], torch.tensor(scored) / RATE)
        before = stage.film(c2w[:, scored], torch.zeros(len(scored)))
        for view, path in enumerate(made.trajectories):
            holes = ~warp_moving(exact, path).mask[scored]
            away = departs(c2w[view, scored])
            plain = warp_moving(made.views, path)
            pictures = {
                "source_repeated": stage.rgb[scored],
                "warp_nearest": fill_nearest(plain.warped[scored], plain.mask[scored]),
                "teacher": made.frames[view, scored],
                "scene": torch.cat([render(sets[frame], path.cameras[frame]).rgb for frame in scored]),
            }
            changed = (truth[view] - before[view]).abs().amax(dim=1) > MOVED
            for name, images in pictures.items():
                sheets[name].add(score_clip(images[away], truth[view, away], holes[away], late[away], perceptual))
                for kind, mask in (("moving", changed), ("still", ~changed)):
                    parts[kind][name] += _masked_psnr(images[away], truth[view, away], mask[away])
            agreement.add(
                score_clip(pictures["scene"][away], pictures["teacher"][away], holes[away], late[away], perceptual)
            )
        fixed = made.trajectories[0].cameras[protocol.frames - 1]
        seen = stage.film(fixed.c2w[None].expand(1, 2, 4, 4), torch.tensor(FLICKER) / RATE)[0]
        steady = (seen[1] - seen[0]).abs().amax(dim=0) < STILL
        flicker["truth"].append(_change(seen, steady))
        flicker["scene"].append(_change(torch.cat([render(sets[f], fixed).rgb for f in FLICKER]), steady))
        if protocol.independent:
            alone = [_alone(pipeline, stage.rgb[f], made.views.cameras[f], protocol, number) for f in FLICKER]
            flicker["independent"].append(_change(torch.cat([render(one, fixed).rgb for one in alone]), steady))
        progress(
            f"world {number + 1}/{protocol.count} ({world.kind}): "
            + ", ".join(f"{name} {_mean(sheet.psnr_all):.2f}" for name, sheet in sheets.items())
        )
    return {
        **report_head(protocol, textures),
        "device": str(device),
        "methods": {name: sheet.means() for name, sheet in sheets.items()},
        "scene_vs_teacher": agreement.means(),
        **{kind: {name: _mean(values) for name, values in rows.items()} for kind, rows in parts.items()},
        "flicker": {name: _mean(values, 6) for name, values in flicker.items() if values},
        "cameras": evaluate_cameras(protocol, pipeline, textures, store, progress),
    }


@torch.no_grad()
def evaluate_cameras(
    protocol: MovingProtocol,
    pipeline: Pipeline,
    textures: TextureSet,
    store: TextureStore,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Errors of camera estimates on clips of unseen worlds filmed by hand: ours and, where installed, COLMAP's.

    Both know the intrinsics. Of each clip the median over its frames counts, and of these the median over clips.
    """
    names = ["lyra", *(["colmap"] if importlib.util.find_spec("pycolmap") else [])]
    rotations: dict[str, list[float]] = {name: [] for name in names}
    directions: dict[str, list[float]] = {name: [] for name in names}
    failed = dict.fromkeys(names, 0)
    sureness: list[float] = []
    for index in range(protocol.cameras):
        worlds = collate([sample_world(index, protocol.split, textures)], pipeline.device)
        generator = torch.Generator().manual_seed(70_001 + index)
        truth = handheld_c2w(protocol.frames, REACH, DEGREES, generator).to(pipeline.device)
        times = torch.arange(protocol.frames) / RATE
        clip = film(worlds, store, truth[None, None], protocol.height, protocol.width, times)
        rgb = clip.rgb[0, 0].clamp(0, 1)
        raw = torch.cat([pipeline.depth_net.infer(picture[None], thorough=False)[0] for picture in rgb])
        path = locate(Frames(rgb), raw, clip.K[0])
        sureness.append(path.sureness)
        found: dict[str, Cameras | None] = {"lyra": path.cameras if path.kind == "moving" else None}
        if "colmap" in names:
            found["colmap"] = place_by_colmap(rgb.cpu(), clip.K[0].cpu())
        for name, cameras in found.items():
            if cameras is None:
                failed[name] += 1
                continue
            turn, way = camera_errors(cameras.c2w.cpu(), truth.cpu())
            rotations[name].append(float(turn.median()))
            directions[name].append(float(way.nanmedian()))
        progress(f"cameras {index + 1}/{protocol.cameras}: {path.words}")
    return {
        name: {
            "rotation_degrees": _median(rotations[name]),
            "direction_degrees": _median(directions[name]),
            "found": len(rotations[name]),
            "failed": failed[name],
        }
        for name in names
    } | {"sureness": _mean(sureness)}


def table(report: dict[str, Any]) -> str:
    """The report as plain text."""
    lines = [f"{'':18s}{'PSNR':>8s}{'SSIM':>8s}{'lpips_sq':>9s} | disoccluded {'':3s} | moving   still"]
    for name, row in report["methods"].items():
        lines.append(_row(name, row, report["moving"][name], report["still"][name]))
    lines.append(_row("scene vs teacher", report["scene_vs_teacher"], None, None))
    flicker = ", ".join(f"{name} {255 * value:.3f}" for name, value in report["flicker"].items())
    lines.append(f"flicker of pixels that stand still, of 255: {flicker}")
    for name, row in report["cameras"].items():
        if isinstance(row, dict):
            lines.append(
                f"cameras by {name:8s} rotation {row['rotation_degrees']:.3f}°, direction of motion "
                f"{row['direction_degrees']:.2f}° (medians of {row['found']} clips; not found {row['failed']})"
            )
    return "\n".join(lines)


def _row(name: str, row: dict[str, float], moving: float | None, still: float | None) -> str:
    cells = [row.get(key, float("nan")) for key in ("psnr_all", "ssim_all", "lpips_all", "psnr_holes", "lpips_holes")]
    end = "" if moving is None or still is None else f"{moving:7.2f} {still:7.2f}"
    return f"{name:18s}{cells[0]:8.2f}{cells[1]:8.3f}{cells[2]:9.3f} |{cells[3]:7.2f}{cells[4]:8.3f} |{end}"


class _Stage:
    """One world and the clip that a tripod takes of it."""

    def __init__(self, worlds: WorldBatch, store: TextureStore, protocol: MovingProtocol, device: torch.device) -> None:
        self.worlds, self.store, self.size = worlds, store, (protocol.height, protocol.width)
        still = torch.eye(4, device=device).repeat(1, 1, protocol.frames, 1, 1)
        clip = film(worlds, store, still, *self.size, torch.arange(protocol.frames) / RATE)
        self.rgb, self.depth = clip.rgb[0, 0].clamp(0, 1), clip.depth[0, 0]
        self.fov = float(2 * torch.atan(protocol.width / (2 * clip.K[0, 0, 0])))

    def film(self, c2w: Tensor, times: Tensor) -> Tensor:
        """[V, T, 3, H, W] what cameras [V, T, 4, 4] see at seconds [T]."""
        return film(self.worlds, self.store, c2w[None], *self.size, times).rgb[0].clamp(0, 1)


def _moving_worlds(protocol: MovingProtocol, textures: TextureSet) -> Iterator[Any]:
    """The first worlds of the split in which something moves."""
    found, index = 0, 0
    while found < protocol.first + protocol.count:
        world = sample_world(index, protocol.split, textures)
        index += 1
        if world.moving:
            found += 1
            if found > protocol.first:
                yield world


def _alone(pipeline: Pipeline, rgb: Tensor, camera: Cameras, protocol: MovingProtocol, number: int) -> Gaussians:
    """The scene that the road of still photos makes of one frame."""
    depth = photo_depth(pipeline.depth_net, rgb[None], camera.fov_x)[0]
    views = Views(Frames(rgb[None]), depth, torch.ones_like(depth, dtype=torch.bool), camera)
    paths = plan(views, protocol.frames, generator=path_generator(protocol.seed, number))
    caches = warp_along(views, paths)
    latents = imagine(caches, pipeline.teacher, pipeline.tokenizer, protocol.steps, protocol.seed)
    frames = pipeline.imagine_frames(latents, caches)
    scene = decode(views, latents, caches, frames, pipeline.decoder, pipeline.tokenizer, pipeline.depth_net)
    covered = cover(scene, views, caches, frames, pipeline.depth_net)
    thinned = thin(covered, paths, ThinConfig(protocol.gaussians))
    return recolor(thinned, views, None, caches, frames).gaussians[0]


def _masked_psnr(images: Tensor, truth: Tensor, mask: Tensor) -> list[float]:
    """PSNR inside the masks that have enough pixels."""
    some = mask.flatten(1).sum(dim=1) >= 50
    if not bool(some.any()):
        return []
    values: list[float] = psnr(images[some].clamp(0, 1), truth[some], mask[some]).tolist()
    return values


def _change(pair: Tensor, mask: Tensor) -> float:
    """Mean absolute change between two pictures [2, 3, H, W] over a mask [H, W]."""
    pair = pair.clamp(0, 1)
    return float((pair[1] - pair[0]).abs().mean(dim=0)[mask].mean())


def _mean(values: list[float], digits: int = 4) -> float:
    return round(float(torch.tensor(values).mean()), digits) if values else float("nan")


def _median(values: list[float]) -> float:
    return round(float(torch.tensor(values).median()), 4) if values else float("nan")
