"""Do first pictures show what their texts say? A probe that knows rendered worlds is asked."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.evaluation.agreement import agreement, unseen_captions
from lyra.evaluation.probe import (
    ProbeName,
    ProbeRecipe,
    ask,
    choose_recipe,
    film_worlds,
    load_or_train_probe,
    probe_key,
)
from lyra.evaluation.protocol import report_head, require_at_least
from lyra.hub import load_model
from lyra.io.images import NANO_GRID
from lyra.metrics import psnr
from lyra.models.perceptual import SqueezePerceptual
from lyra.pipeline import Pipeline, resolve_device
from lyra.results import GenerateOptions
from lyra.stages import illustrate
from lyra.stages.illustrate import GUIDANCE
from lyra.structures import InputError
from lyra.world_pictures import WorldPainter
from lyra.worlds import Split, load_textures
from lyra.worlds.captions import Caption

DrawPicture = Callable[[str, int], Tensor]
"""From a caption and a seed to a picture [3, H, W] 0…1."""


@dataclass(frozen=True)
class TextProtocol:
    """Which captions are drawn and how they are judged.

    Attributes:
        split: ``test`` or ``val``; captions of their worlds, which training never saw.
        count: captions, of the worlds with seeds 0 … ``count`` - 1.
        seed: of the noise.
        guidance, steps: of first pictures that the teacher draws; ``None`` for the usual ones.
        diverse: of the captions, so many are drawn with ``seeds`` seeds each to see how much pictures differ.
        scenes: of the captions, so many become whole scenes, whose renders are compared with the first picture.
        textures: texture pack, ``None`` for the usual places.
        device: ``auto``, ``cpu``, ``cuda``.
        workers: processes that make worlds for the probe to learn from.
        probe: which one judges.

    Raises:
        InputError: a number that leaves nothing to compare, or that the road refuses.
    """

    split: Literal["val", "test"] = "test"
    count: int = 200
    seed: int = 0
    guidance: float | None = None
    steps: int | None = None
    diverse: int = 10
    seeds: int = 4
    scenes: int = 4
    textures: Path | None = None
    device: str = "auto"
    workers: int = 0
    probe: ProbeName = "auto"

    def __post_init__(self) -> None:
        require_at_least(2, count=self.count)  # a picture is compared with another caption, too
        require_at_least(0, diverse=self.diverse, scenes=self.scenes, workers=self.workers)
        require_at_least(1, seeds=self.seeds)
        replace(self.options("a room"), steps=self.steps)

    def options(self, prompt: str) -> GenerateOptions:
        """Of the whole scene that is made of a caption."""
        return GenerateOptions(seed=self.seed, guidance=self.guidance, prompt=prompt, device=self.device)


@torch.no_grad()
def evaluate_text(
    protocol: TextProtocol | None = None,
    pipeline: Pipeline | None = None,
    recipe: ProbeRecipe | None = None,
    draw: DrawPicture | None = None,
    progress: Callable[[str], None] = print,
) -> dict[str, Any]:
    """Judge first pictures by what a probe sees in them.

    Args:
        protocol: what to draw.
        pipeline: the networks, ``None`` for the embedded ones.
        recipe: of the probe; ``None`` chooses by the device.
        draw: draws the pictures instead of the pipeline's own maker, which is the teacher if its weights were trained
            to, else `lyra.world_pictures`; whole scenes are left out if there is no pipeline.
        progress: receives lines.

    Returns:
        ``agreement``: per cent of the stated facts that the probe finds in the picture, by question; ``shuffled``: the
        same with every picture compared with the facts of the next caption; ``probe``: the probe's own accuracy on
        renders of the same worlds, over the same facts; ``diversity``: mean lpips_squeeze between pictures of one
        caption, and between pictures of different captions; ``consistency``: PSNR of scenes at their first camera
        against the first picture.

    Raises:
        InputError: guidance or steps for a maker that has none.
    """
    protocol = protocol or TextProtocol()
    device = resolve_device(protocol.device)
    if draw is None:
        pipeline = pipeline or Pipeline.load(device)
        if pipeline.teacher.config.illustrates:
            draw = _teacher_draws(pipeline, protocol)
        else:
            draw = _worlds_are_filmed(pipeline, protocol)
    splits: dict[Split, None] = dict.fromkeys(("train", "val", protocol.split))
    textures = {split: load_textures(protocol.textures, split) for split in splits}
    recipe = recipe or choose_recipe(device, protocol.probe)
    probe = load_or_train_probe(recipe, textures, device, progress, protocol.workers)
    unseen = textures[protocol.split]
    renders, worlds = film_worlds(unseen, unseen.to(device), 0, protocol.count, recipe)
    captions = unseen_captions(worlds, protocol.seed)
    stated = [caption.stated for caption in captions]
    pictures = []
    for number, caption in enumerate(captions):
        pictures.append(draw(caption.text, protocol.seed + number).to(device))
        if (number + 1) % 20 == 0:
            progress(f"pictures: {number + 1}/{protocol.count}")
    seen = ask(probe, torch.stack(pictures))
    report = {
        **report_head(protocol, unseen),
        "probe_recipe": f"{recipe.name} {probe_key(recipe, textures)}",
        "agreement": agreement(seen, stated),
        "shuffled": agreement(seen, [*stated[1:], stated[0]]),
        "probe": agreement(ask(probe, renders), stated),
        "diversity": _diversity(draw, captions[: protocol.diverse], protocol, device) if protocol.diverse else {},
    }
    if pipeline is not None and protocol.scenes:
        report["consistency"] = _consistency(pipeline, captions[: protocol.scenes], protocol, progress)
    return report


def _teacher_draws(pipeline: Pipeline, protocol: TextProtocol) -> DrawPicture:
    guidance = GUIDANCE if protocol.guidance is None else protocol.guidance

    def draw(caption: str, seed: int) -> Tensor:
        wording = pipeline.read_prompt(caption, guidance=guidance)
        (candidate,) = illustrate(
            wording.text, pipeline.teacher, pipeline.tokenizer, NANO_GRID, (seed,), protocol.steps, None, guidance
        )
        return candidate.rgb

    return draw


def _worlds_are_filmed(pipeline: Pipeline, protocol: TextProtocol) -> DrawPicture:
    """The default maker, which looks at worlds of the training split."""
    if protocol.guidance is not None or protocol.steps is not None:
        raise InputError("guidance and steps act on a teacher that draws, and these weights do not; leave them out")
    painter = pipeline.painter = WorldPainter(protocol.textures)

    def draw(caption: str, seed: int) -> Tensor:
        options = replace(protocol.options(caption), seed=seed)
        first = painter(pipeline.read_prompt(caption), options, NANO_GRID, pipeline.text_encoder)
        return first.candidates[0].rgb

    return draw


def _diversity(
    draw: DrawPicture, captions: Sequence[Caption], protocol: TextProtocol, device: torch.device
) -> dict[str, float]:
    """Mean perceptual distance between pictures of one caption, and of different captions with one seed."""
    perceptual = load_model("perceptual/squeeze", device=device, kind=SqueezePerceptual)
    rows = []
    for caption in captions:
        drawn = [draw(caption.text, protocol.seed + 10_000 + number) for number in range(protocol.seeds)]
        rows.append(torch.stack(drawn).to(device))
    pictures = F.interpolate(torch.cat(rows), scale_factor=0.5, mode="bilinear", antialias=True).unflatten(
        0, (len(rows), protocol.seeds)
    )

    def distance(first: Tensor, second: Tensor) -> float:
        return round(float(perceptual(first, second).mean()), 4)

    same = [distance(pictures[:, a], pictures[:, b]) for a in range(protocol.seeds) for b in range(a)]
    other = distance(pictures[:, 0], pictures[:, 0].roll(1, 0))
    return {"same_caption": round(sum(same) / len(same), 4) if same else 0.0, "other_caption": other}


def _consistency(
    pipeline: Pipeline, captions: Sequence[Caption], protocol: TextProtocol, progress: Callable[[str], None]
) -> dict[str, float]:
    """How well whole scenes show their first picture again, and their clips' frames."""
    own, clips = [], []
    for number, caption in enumerate(captions):
        result = pipeline.run_prompt(caption.text, protocol.options(caption.text))
        own.append(float(psnr(result.rerender.rgb.clamp(0, 1), result.views.frames.rgb).mean()))
        renders = torch.stack([rendering.rgb for rendering in result.renders]).clamp(0, 1)
        clips.append(float(psnr(renders.flatten(0, 1), result.frames.flatten(0, 1)).mean()))
        progress(f"scenes: {number + 1}/{len(captions)}")
    return {
        "first_picture_psnr": round(sum(own) / len(own), 2),
        "renders_vs_teacher_psnr": round(sum(clips) / len(clips), 2),
    }


def text_table(report: dict[str, Any]) -> str:
    """The report as a plain-text table, per cent."""
    names = ("kind", "material", "light", "things", "counts", "attributes")
    lines = [f"{'':22s}" + "".join(f"{name:>12s}" for name in names)]
    for row, label in (
        ("agreement", "pictures and captions"),
        ("shuffled", "other captions"),
        ("probe", "renders, the probe"),
    ):
        lines.append(f"{label:22s}" + "".join(f"{report[row].get(name, float('nan')):12.1f}" for name in names))
    spread = report["diversity"]
    if spread:
        lines.append(
            f"lpips_squeeze of two seeds {spread['same_caption']:.3f}, of two captions {spread['other_caption']:.3f}"
        )
    if "consistency" in report:
        lines.append(f"scene at its first camera {report['consistency']['first_picture_psnr']:.2f} dB")
    return "\n".join(lines)
