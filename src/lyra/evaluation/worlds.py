"""Unseen worlds with true novel views: how much each part of the road loses."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch

from lyra.evaluation.protocol import report_head, require_at_least, require_size, require_stride
from lyra.evaluation.scores import ScoreSheet, score_clip
from lyra.evaluation.unseen import departs, is_late, path_generator, picture_world, scored_frames
from lyra.geometry.fill import fill_nearest
from lyra.hub import load_model
from lyra.metrics import depth_error, psnr
from lyra.models.perceptual import SqueezePerceptual
from lyra.pipeline import FRAMES, Pipeline, resolve_device
from lyra.raster import render
from lyra.results import GenerateOptions
from lyra.stages import (
    ThinConfig,
    cover,
    decode,
    imagine,
    plan,
    refine,
    thin,
    warp,
    with_edges,
)
from lyra.worlds import load_textures


@dataclass(frozen=True)
class WorldsProtocol:
    """Which worlds are scored and how.

    Attributes:
        split: ``test`` or ``val``; their seeds and textures never occur in training.
        count: worlds, seeds ``first`` … ``first`` + ``count`` - 1 of the split.
        steps: denoising steps, ``None`` for the teacher's own number.
        seed: of the movement distances and the teacher's noise.
        textures: texture pack, ``None`` for the usual places.
        device: ``auto``, ``cpu``, ``cuda``.
        height, width: size of the views, multiples of 32.

    Raises:
        InputError: a number that leaves nothing to score, or that the road refuses.
    """

    split: Literal["val", "test"] = "test"
    count: int = 24
    steps: int | None = None
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    height: int = 256
    width: int = 448
    stride: int = 5
    """Every ``stride``-th frame is scored, counted back from the last one; frame 0, which is given, never.
    The circle is back at the source in frames 8 and 16, which are left out there."""
    tokenizer_worlds: int = 8
    """Worlds of which one trajectory is filmed whole to judge the tokenizer."""
    first: int = 0
    """Seed of the first world: a long run can be done in parts."""
    gaussians: int = ThinConfig().most
    """What the finished scene is thinned to; 0 keeps all."""

    def __post_init__(self) -> None:
        require_at_least(1, count=self.count)
        require_at_least(0, first=self.first, tokenizer_worlds=self.tokenizer_worlds)
        require_stride(self.stride, FRAMES)
        require_size(self.height, self.width)
        GenerateOptions(seed=self.seed, steps=self.steps, gaussians=self.gaussians)


METHODS = ("input_repeated", "warp_nearest", "teacher", "decoder", "scene")


@torch.no_grad()
def evaluate_worlds(
    protocol: WorldsProtocol | None = None,
    pipeline: Pipeline | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score the road on unseen worlds.

    The true intrinsics are given (as EXIF would), depth is predicted. Both the true and the predicted depth are
    scaled to median 1, so that a commanded camera means the same in both. Disoccluded pixels are those that a warp
    with the TRUE depth leaves open.

    Returns:
        ``methods`` against the true views: the input repeated, the forward warp with holes filled from the nearest
        valid pixel, the teacher's RGB, renders of what the decoder says, renders of the finished scene (gaps covered,
        recoloured); ``decoder_vs_teacher`` and ``scene_vs_teacher``; ``tokenizer`` reconstruction of the true clips;
        ``depth`` errors; ``gaussians`` of each world by the decoder, with covered gaps, and in the finished scene; the
        scores by trajectory.
    """
    protocol = protocol or WorldsProtocol()
    device = resolve_device(protocol.device)
    pipeline = pipeline or Pipeline.load(device)
    perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
    textures = load_textures(protocol.textures, protocol.split)
    store = textures.to(device)
    sheets = {name: ScoreSheet() for name in METHODS}
    by_path: dict[str, dict[str, ScoreSheet]] = {}
    agreement = {"decoder": ScoreSheet(), "scene": ScoreSheet()}
    tokenizer_psnr: list[float] = []
    depth_scores: list[tuple[float, float]] = []
    own_camera: list[float] = []
    counts: dict[str, list[int]] = {"decoder": [], "covered": [], "scene": []}
    frames = scored_frames(FRAMES, protocol.stride)
    late = is_late(torch.tensor(frames, device=device), FRAMES)
    for index in range(protocol.first, protocol.first + protocol.count):
        world = picture_world(index, textures, store, (protocol.height, protocol.width))
        estimate = world.predicted_depth(pipeline.depth_net)
        views, exact = world.views(estimate), world.views(world.depth)
        error = depth_error(estimate, world.depth, ~world.sky)
        depth_scores.append((float(error.abs_rel), float(error.delta1)))
        paths = plan(views, FRAMES, generator=path_generator(protocol.seed, index))
        c2w = torch.stack([path.cameras.c2w for path in paths]).to(device)
        truth = world.film(c2w[:, frames]).rgb[0].clamp(0, 1)
        plain = tuple(warp(views, path) for path in paths)
        caches = with_edges(views, plain)
        latents = imagine(caches, pipeline.teacher, pipeline.tokenizer, protocol.steps, protocol.seed)
        teacher = pipeline.imagine_frames(latents, caches)
        decoded = decode(views, latents, caches, teacher, pipeline.decoder, pipeline.tokenizer, pipeline.depth_net)
        covered = cover(decoded, views, caches, teacher, pipeline.depth_net)
        thinned = thin(covered, paths, ThinConfig(protocol.gaussians))
        scene = refine(thinned, views, caches, teacher, seed=protocol.seed)
        gaussians = scene.gaussians[0]
        counts["decoder"].append(len(decoded.gaussians[0]))
        counts["covered"].append(len(covered.gaussians[0]))
        counts["scene"].append(len(gaussians))
        own_camera.append(float(psnr(render(gaussians, world.camera).rgb.clamp(0, 1), world.rgb)))
        for view, path in enumerate(paths):
            holes = ~warp(exact, path).mask[frames]
            moved = departs(c2w[view, frames])
            cameras = path.cameras[torch.tensor(frames)]
            candidates = {
                "input_repeated": world.rgb.expand_as(truth[view]),
                "warp_nearest": fill_nearest(plain[view].warped[frames], plain[view].mask[frames]),
                "teacher": teacher[view, frames],
                "decoder": render(decoded.gaussians[0], cameras).rgb,
                "scene": render(gaussians, cameras).rgb,
            }
            for name, images in candidates.items():
                scores = score_clip(images[moved], truth[view, moved], holes[moved], late[moved], perceptual)
                sheets[name].add(scores)
                by_path.setdefault(path.name, {}).setdefault(name, ScoreSheet()).add(scores)
            for name, sheet in agreement.items():
                imagined = teacher[view, frames]
                sheet.add(score_clip(candidates[name][moved], imagined[moved], holes[moved], late[moved], perceptual))
        if index - protocol.first < protocol.tokenizer_worlds:
            view = index % len(paths)
            clip = world.film(c2w[view : view + 1]).rgb[0].clamp(0, 1)
            again = pipeline.tokenizer.decode(pipeline.tokenizer.encode(clip.transpose(1, 2)))
            tokenizer_psnr.extend(psnr(again[0].transpose(0, 1).clamp(0, 1), clip[0]).tolist())
        progress(f"world {index + 1 - protocol.first}/{protocol.count}: {_line(sheets)}")
    return {
        **report_head(protocol, textures),
        "device": str(device),
        "methods": {name: sheet.means() for name, sheet in sheets.items()},
        **{f"{name}_vs_teacher": sheet.means() for name, sheet in agreement.items()},
        "frames": {
            **{name: vars(sheet) for name, sheet in sheets.items()},
            **{f"{name}_vs_teacher": vars(sheet) for name, sheet in agreement.items()},
        },
        "tokenizer_psnr": _mean(tokenizer_psnr),
        "depth": {"abs_rel": _mean([a for a, _ in depth_scores]), "delta1": _mean([d for _, d in depth_scores])},
        "scene_at_own_camera_psnr": _mean(own_camera),
        "gaussians": counts,
        "by_trajectory": {
            path: {name: sheet.means() for name, sheet in group.items()} for path, group in by_path.items()
        },
    }


def table(report: dict[str, Any]) -> str:
    """The report as a plain-text table."""
    lines = [f"{'':18s}{'PSNR':>8s}{'SSIM':>8s}{'lpips_sq':>9s} | last third {'':10s} | disoccluded"]
    rows = dict(report["methods"])
    rows.update({f"{name} vs teacher": report[f"{name}_vs_teacher"] for name in ("decoder", "scene")})
    for name, row in rows.items():
        cells = [row.get(k, float("nan")) for k in ("psnr_all", "ssim_all", "lpips_all")]
        late = [row.get(k, float("nan")) for k in ("psnr_late", "ssim_late", "lpips_late")]
        holes = [row.get(k, float("nan")) for k in ("psnr_holes", "lpips_holes")]
        lines.append(
            f"{name:18s}{cells[0]:8.2f}{cells[1]:8.3f}{cells[2]:9.3f} |"
            f"{late[0]:7.2f}{late[1]:7.3f}{late[2]:7.3f} |{holes[0]:7.2f}{holes[1]:7.3f}"
        )
    lines.append(f"tokenizer {report['tokenizer_psnr']:.2f} dB; depth AbsRel {report['depth']['abs_rel']:.3f},")
    lines[-1] += f" delta1 {report['depth']['delta1']:.3f}; scene at the input's camera"
    lines[-1] += f" {report['scene_at_own_camera_psnr']:.2f} dB"
    decoded, covered, left = (_range(report["gaussians"][name]) for name in ("decoder", "covered", "scene"))
    lines.append(f"Gaussians: {decoded} by the decoder, {covered} with covered gaps, {left} in the end")
    return "\n".join(lines)


def _range(counts: list[int]) -> str:
    return f"{min(counts):,} to {max(counts):,}" if min(counts) < max(counts) else f"{counts[0]:,}"


def _mean(values: list[float]) -> float:
    return round(float(torch.tensor(values).mean()), 4)


def _line(sheets: dict[str, ScoreSheet]) -> str:
    return ", ".join(f"{name} {_mean(sheet.psnr_all):.2f}" for name, sheet in sheets.items())
