"""How probes are trained: a large one on a GPU, a small one on a CPU."""

from dataclasses import dataclass
from typing import Literal

import torch

ProbeName = Literal["auto", "small", "large"]
"""Which probe: the large one on a GPU and the small one on a CPU, or a certain one."""


@dataclass(frozen=True)
class ProbeRecipe:
    """How a probe is trained; a change makes another probe.

    Attributes:
        name: of the recipe.
        height, width: of the pictures it looks at, in pixels; multiples of 2 to the number of widths.
        worlds: rendered to learn from, all of the training split.
        checked: rendered worlds of the validation split that set how sure of a thing it must be.
        steps, batch, rate, decay: of AdamW with one cosine cycle.
        smoothing: of the labels of kind, material and light.
        average: share of the running mean of all weights that a step keeps; the mean is the probe.
        widths: channels after each halving of the picture, two or more.
        blocks: residual blocks after each halving.
        seed: of the start, the order of the pictures and their changes.
        version: of the network, the changes to pictures and the loss.
    """

    name: str
    height: int
    width: int
    worlds: int
    checked: int
    steps: int
    batch: int
    widths: tuple[int, ...]
    blocks: tuple[int, ...]
    rate: float = 2e-3
    decay: float = 0.05
    smoothing: float = 0.05
    average: float = 0.998
    seed: int = 0
    version: int = 2


LARGE = ProbeRecipe(
    "large", 128, 224, worlds=80_000, checked=4000, steps=2400, batch=256, widths=(48, 96, 192, 320),
    blocks=(0, 2, 3, 2), rate=1.5e-3,
)  # fmt: skip
"""For a GPU, with worker processes that make the worlds."""

SMALL = ProbeRecipe(
    "small", 64, 112, worlds=3000, checked=240, steps=1200, batch=40, widths=(24, 48, 96, 160), blocks=(0, 0, 0, 1),
    average=0.99,
)  # fmt: skip
"""For a CPU, where filming the worlds takes most of the time."""


def choose_recipe(device: torch.device, name: ProbeName = "auto") -> ProbeRecipe:
    """The recipe of that name; of ``auto`` `LARGE` on a CUDA device, else `SMALL`."""
    if name == "auto":
        return LARGE if device.type == "cuda" else SMALL
    return LARGE if name == "large" else SMALL
