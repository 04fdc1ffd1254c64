"""Do imagined clips obey the commanded cameras, and do clips of one scene agree with each other?

First question: the imagined frame is compared with the true view from the commanded camera and with the true views
from cameras turned or moved a little. The commanded one should fit best; by how much is the margin.

Second question: a scene point that two clips show is looked up in both through their depth. Its colours should agree as
well as those of true views do that went through the tokenizer, and its depths should be the same.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import permutations
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from lyra.evaluation.protocol import report_head, require_at_least, require_size
from lyra.evaluation.unseen import path_generator, picture_world
from lyra.geometry.fill import fill_nearest
from lyra.geometry.reprojection import correspond, nudge
from lyra.metrics import psnr
from lyra.models.depth import aligned_depth
from lyra.models.tokenizer import Tokenizer
from lyra.pipeline import FRAMES, Pipeline, resolve_device, warp_along
from lyra.results import GenerateOptions
from lyra.stages import imagine, plan, require_plannable, warp, with_edges
from lyra.structures import Conditioning
from lyra.worlds import load_textures

METHODS = ("teacher", "teacher_true_depth", "warp", "tokenizer")
MIN_PIXELS = 150
"""Pairs of frames with fewer common pixels do not count."""
SAME_SURFACE = 1.1
"""Depths that differ by a larger factor belong to different surfaces: one hides the other."""


@dataclass(frozen=True)
class CameraProtocol:
    """Which worlds are looked at and how wrong the wrong cameras are.

    Attributes:
        split: ``test`` or ``val``.
        count: worlds, seeds ``first`` … ``first`` + ``count`` - 1.
        first: seed of the first world.
        trajectories: whose clips are imagined; of each, the frame farthest from the source counts.
        degrees: angles by which cameras are turned.
        distances: lengths by which they are moved, in units of the source's median depth.
        steps: denoising steps, ``None`` for the teacher's own number.
        seed: of the wrong cameras and the teacher's noise.
        textures: texture pack, ``None`` for the usual places.
        device: ``auto``, ``cpu``, ``cuda``.
        height, width: size of the views, multiples of 32.

    Raises:
        InputError: a number that leaves nothing to score, or that the road refuses.
    """

    split: Literal["val", "test"] = "test"
    count: int = 8
    first: int = 0
    trajectories: tuple[str, ...] = ("left", "right", "up", "zoom_out")
    degrees: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0)
    distances: tuple[float, ...] = (0.01, 0.02, 0.04, 0.08)
    steps: int | None = None
    seed: int = 0
    textures: Path | None = None
    device: str = "auto"
    height: int = 256
    width: int = 448

    def __post_init__(self) -> None:
        require_at_least(1, count=self.count)
        require_at_least(0, first=self.first)
        require_size(self.height, self.width)
        require_plannable(self.trajectories, 1.0)
        GenerateOptions(seed=self.seed, steps=self.steps)


@dataclass
class Duels:
    """Scores of a method against wrong cameras: by wrongness, how much better the right one fits, in dB."""

    margins: dict[str, list[float]] = field(default_factory=dict)

    def add(self, wrongness: str, margins: Tensor) -> None:
        """Take the PSNR at the right camera less that at the wrong one, one number per frame."""
        self.margins.setdefault(wrongness, []).extend(margins.tolist())

    def summary(self) -> dict[str, dict[str, float]]:
        """Share of frames for which the right camera wins, and the mean margin, by wrongness and together."""
        groups = {**self.margins, "all": [value for values in self.margins.values() for value in values]}
        return {
            name: {
                "win_rate": _mean([float(value > 0) for value in values]),
                "margin_db": _mean(values),
                "frames": len(values),
            }
            for name, values in groups.items()
        }


@dataclass
class Agreement:
    """How well frames of different clips agree about scene points that both show."""

    errors: list[float] = field(default_factory=list)
    hidden_errors: list[float] = field(default_factory=list)
    depth_errors: list[float] = field(default_factory=list)

    def add(self, first: "View", second: "View", K: Tensor) -> None:
        """Look the points of the first view up in the second one."""
        told = torch.cat([second.rgb, second.seen[None].to(second.rgb.dtype)])
        found = correspond(first.depth, first.c2w, told, second.depth, second.c2w, K)
        seen = found.values[3] > 0.01
        same = found.inside & (found.depth_ratio < SAME_SURFACE) & (found.depth_ratio > 1 / SAME_SURFACE)
        square = (found.values[:3] - first.rgb).square().mean(dim=0)
        hidden = same & ~first.seen & ~seen
        if int(same.sum()) >= MIN_PIXELS:
            self.errors.append(float(square[same].mean()))
            near = found.inside & (found.depth_ratio < 1.5) & (found.depth_ratio > 1 / 1.5)
            self.depth_errors.append(float(found.depth_ratio[near].log().abs().mean()))
        if int(hidden.sum()) >= MIN_PIXELS:
            self.hidden_errors.append(float(square[hidden].mean()))

    def summary(self) -> dict[str, float]:
        """PSNR of the mean squared difference, over all common points and those the source does not show."""
        result = {"pairs": float(len(self.errors)), "pairs_hidden": float(len(self.hidden_errors))}
        for name, values in (("psnr", self.errors), ("psnr_hidden", self.hidden_errors)):
            if values:
                result[name] = _mean([float(-10 * torch.tensor(value).clamp_min(1e-12).log10()) for value in values])
        if self.depth_errors:
            result["depth_log_error"] = _mean(self.depth_errors)
        return result


@dataclass(frozen=True)
class View:
    """One frame of a clip: rgb [3, H, W], depth [H, W], c2w [4, 4], and seen [H, W]: what the source shows of it."""

    rgb: Tensor
    depth: Tensor
    c2w: Tensor
    seen: Tensor


@torch.no_grad()
def evaluate_camera(
    protocol: CameraProtocol | None = None,
    pipeline: Pipeline | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Score imagined frames on unseen worlds.

    Returns:
        ``duels``: for the teacher with predicted depth, the teacher with true depth, the warp with holes filled from
        the nearest pixel, and the true view coded by the tokenizer, win rate and margin by wrongness of the camera;
        ``consistency``: agreement between clips as imagined, and that of true views coded by the tokenizer.
    """
    protocol = protocol or CameraProtocol()
    device = resolve_device(protocol.device)
    pipeline = pipeline or Pipeline.load(device)
    textures = load_textures(protocol.textures, protocol.split)
    store = textures.to(device)
    duels = {name: Duels() for name in METHODS}
    agreement = {"teacher": Agreement(), "tokenizer": Agreement()}
    for index in range(protocol.first, protocol.first + protocol.count):
        world = picture_world(index, textures, store, (protocol.height, protocol.width))
        generator = path_generator(protocol.seed, index)
        estimate = world.predicted_depth(pipeline.depth_net)
        views, exact = world.views(estimate), world.views(world.depth)
        paths = plan(views, FRAMES, protocol.trajectories, generator=generator)
        c2w = torch.stack([path.cameras.c2w for path in paths]).to(device)
        frame = c2w[..., :3, 3].norm(dim=-1).argmax(dim=1)
        clip = torch.arange(len(paths), device=device)
        right = c2w[clip, frame]
        plain = tuple(warp(views, path) for path in paths)
        caches = with_edges(views, plain)
        true_caches = warp_along(exact, paths)
        pictures = {
            "teacher": _imagined(caches, pipeline, protocol)[clip, frame],
            "teacher_true_depth": _imagined(true_caches, pipeline, protocol)[clip, frame],
            "warp": torch.cat(
                [fill_nearest(c.warped[f : f + 1], c.mask[f : f + 1]) for c, f in zip(plain, frame, strict=True)]
            ),
        }
        truth = world.film(right[:, None])
        true_rgb, true_depth = truth.rgb[0, :, 0].clamp(0, 1), truth.depth[0, :, 0]
        pictures["tokenizer"] = _coded(true_rgb, pipeline.tokenizer)
        fits = {name: psnr(picture, true_rgb) for name, picture in pictures.items()}
        wrong = [(f"{size:g} degrees", nudge(right, generator, degrees=size)) for size in protocol.degrees]
        wrong += [(f"{size:g} moved", nudge(right, generator, distance=size)) for size in protocol.distances]
        for wrongness, poses in wrong:
            other = world.film(poses[:, None]).rgb[0, :, 0].clamp(0, 1)
            for name, picture in pictures.items():
                duels[name].add(wrongness, fits[name] - psnr(picture, other))
        shown = torch.stack([cache.mask[f] for cache, f in zip(caches, frame, strict=True)])
        truly_shown = torch.stack([cache.mask[f] for cache, f in zip(true_caches, frame, strict=True)])
        depth = aligned_depth(
            pipeline.depth_net,
            pictures["teacher"],
            torch.stack([cache.depth[f] for cache, f in zip(caches, frame, strict=True)]),
            shown,
        )
        for name, depths, seen in (("teacher", depth, shown), ("tokenizer", true_depth, truly_shown)):
            frames = [View(pictures[name][i], depths[i], right[i], seen[i]) for i in range(len(paths))]
            for first, second in permutations(frames, 2):
                agreement[name].add(first, second, world.camera.K[0])
        progress(f"world {index + 1 - protocol.first}/{protocol.count}: {_line(duels, agreement)}")
    return {
        **report_head(protocol, textures),
        "device": str(device),
        "duels": {name: part.summary() for name, part in duels.items()},
        "consistency": {name: part.summary() for name, part in agreement.items()},
    }


def table(report: dict[str, Any]) -> str:
    """The report as a plain-text table: share of frames won by the right camera / mean margin in dB."""
    columns = list(report["duels"])
    lines = [f"{'wrong camera':14s}" + "".join(f"{name:>22s}" for name in columns)]
    for wrongness in report["duels"][columns[0]]:
        cells = [report["duels"][name][wrongness] for name in columns]
        row = "".join(f"{100 * cell['win_rate']:12.0f} % {cell['margin_db']:5.2f} dB" for cell in cells)
        lines.append(f"{wrongness:14s}{row}")
    for name, row in report["consistency"].items():
        parts = [f"{key} {row[key]:.2f}" for key in ("psnr", "psnr_hidden") if key in row]
        if "depth_log_error" in row:
            parts.append(f"depth_log_error {row['depth_log_error']:.3f}")
        lines.append(f"between clips, {name}: {', '.join(parts)}, pairs {row['pairs']:.0f} / {row['pairs_hidden']:.0f}")
    return "\n".join(lines)


def _imagined(caches: tuple[Conditioning, ...], pipeline: Pipeline, protocol: CameraProtocol) -> Tensor:
    """[V, T, 3, H, W] 0…1."""
    latents = imagine(caches, pipeline.teacher, pipeline.tokenizer, protocol.steps, protocol.seed)
    return pipeline.imagine_frames(latents, caches)


def _coded(pictures: Tensor, tokenizer: Tokenizer) -> Tensor:
    """[N, 3, H, W] through the tokenizer and back, as stills."""
    return tokenizer.decode(tokenizer.encode(pictures[:, :, None]))[:, :, 0].clamp(0, 1)


def _mean(values: list[float]) -> float:
    return round(sum(values) / max(len(values), 1), 4)


def _line(duels: dict[str, Duels], agreement: dict[str, Agreement]) -> str:
    wins = ", ".join(f"{name} {100 * part.summary()['all']['win_rate']:.0f} %" for name, part in duels.items())
    return f"won {wins}; between clips " + ", ".join(
        f"{name} {part.summary().get('psnr', float('nan')):.2f} dB" for name, part in agreement.items()
    )
