"""What a trained probe says of pictures."""

from collections.abc import Iterator

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.evaluation.probe.facts import shown_facts
from lyra.evaluation.probe.network import Probe
from lyra.worlds.description import Description

Pictures = Tensor
"""[N, 3, h, w] of any size, uint8 or float 0…1."""


@torch.no_grad()
def answers(probe: Probe, pictures: Pictures, batch: int = 128) -> dict[str, Tensor]:
    """Logits of each question, the mean of a picture's and its mirror image's."""
    parts = [_mean(probe(rgb), probe(rgb.flip(-1))) for rgb in _resized(probe, pictures, batch)]
    return {name: torch.cat([part[name] for part in parts]) for name in parts[0]}


def _mean(one: dict[str, Tensor], other: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: (one[name] + other[name]) / 2 for name in one}


def _resized(probe: Probe, pictures: Pictures, batch: int) -> Iterator[Tensor]:
    size = (probe.recipe.height, probe.recipe.width)
    for part in pictures.split(batch):
        rgb = part if part.is_floating_point() else part.float() / 255
        if rgb.shape[-2:] != size:
            rgb = F.interpolate(rgb, size=size, mode="bilinear", antialias=True, align_corners=False)
        yield rgb.clamp(0, 1)


def ask(probe: Probe, pictures: Pictures) -> dict[str, Tensor]:
    """Class numbers on the CPU: kind, light [N], material [N, PARTS], things [N, nouns] as counts.

    A thing counts as seen if its best count stands above "none" by more than the probe's threshold.
    """
    logits = answers(probe, pictures)
    seen = {name: values.argmax(dim=-1).cpu() for name, values in logits.items() if name != "things"}
    counts = 1 + logits["things"][..., 1:].argmax(dim=-1)
    return {**seen, "things": torch.where(_margins(logits["things"]) > probe.threshold, counts, 0).cpu()}


def _margins(things: Tensor) -> Tensor:
    """[N, nouns] how far the best count stands above none."""
    return things[..., 1:].amax(dim=-1) - things[..., 0]


def set_threshold(probe: Probe, pictures: Pictures, descriptions: list[Description]) -> None:
    """Let the probe see as many things in these pictures as there are, neither more nor fewer."""
    there = int((shown_facts(descriptions)["things"] > 0).sum())
    margins = _margins(answers(probe, pictures)["things"]).flatten().sort(descending=True).values
    if there < len(margins):
        probe.threshold.copy_(margins[there])
