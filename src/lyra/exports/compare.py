"""Does what was written look like what was meant?"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch

from lyra.metrics import psnr
from lyra.raster import render
from lyra.structures import Cameras, Gaussians

_VISIBLE = 1 / 255


@dataclass(frozen=True)
class Likeness:
    """PSNR against the original, over the pixels that either of the two shows at all.

    Attributes:
        worst, mean: dB over the views; infinite where every pixel is the same.
        views: how many were compared.
    """

    worst: float
    mean: float
    views: int


def compare(
    original: Sequence[Gaussians],
    found: Sequence[Gaussians],
    cameras: Cameras,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Likeness:
    """Render both and compare.

    Every set is seen by the first camera; the first set by all of them, the others by one more each, in turn.

    Args:
        original, found: one set per time.
        cameras: T of them.
        progress: told after each view how many of how many are done.

    Raises:
        ValueError: not as many sets, or no camera.
    """
    if len(original) != len(found) or len(cameras) == 0:
        raise ValueError(f"compare: {len(found)} sets of {len(original)}, {len(cameras)} cameras")
    pairs = [(0, index) for index in range(len(cameras))]
    for index in range(1, len(original)):
        pairs.extend((index, camera) for camera in sorted({0, index % len(cameras)}))
    values = []
    for done, (index, camera) in enumerate(pairs, start=1):
        a, b = (render(sets[index], cameras[camera]) for sets in (original, found))
        shown = (a.alpha > _VISIBLE) | (b.alpha > _VISIBLE)
        # where both show nothing they agree
        value = psnr(a.rgb, b.rgb, shown)[0] if shown.any() else torch.tensor(torch.inf)
        values.append(float(value))
        progress(done, len(pairs))
    return Likeness(min(values), sum(values) / len(values), len(values))
