"""Gaussians take steps towards pictures that they should show, all of their numbers at once."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry import invert_rigid
from lyra.raster.front import rasterize
from lyra.raster.options import RenderOptions
from lyra.structures import Conditioning, Gaussians, Views

_PHOTO = 3.0
"""How often the photograph counts in every step, in which an imagined frame counts once."""
_RATES = {"means": 0.15, "quats": 0.02, "scales": 0.1, "opacities": 0.2, "colors": 0.016}
"""Of Adam: positions in footprints of their Gaussians, logarithms of scales, logits of opacities."""
_FALLS_TO = 0.3
_BETAS = 0.6, 0.99
_FAINTEST = 1e-3
"""Added to the size of gradients: what hardly shows stays as it is."""


class Pictures(NamedTuple):
    """What is looked at, the source picture first.

    Attributes:
        rgb: [P, 3, H, W] 0…1.
        w2c: [P, 4, 4].
        K: [P, 3, 3].
        finer: [3, k H, k W] the source picture k times as large, instead of that in ``rgb``; ``None`` for none.
        where: [H, W] bool, pixels in which the finer picture counts; in others that in ``rgb`` does.
    """

    rgb: Tensor
    w2c: Tensor
    K: Tensor
    finer: Tensor | None = None
    where: Tensor | None = None


def pictures_of(
    views: Views,
    time: int,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    taken: Sequence[tuple[int, int]],
) -> Pictures:
    """The source picture ``time`` and the frames (view, frame) ``taken`` of clips."""
    cameras = [views.cameras[time], *(conditionings[view].trajectory.cameras[frame] for view, frame in taken)]
    rgb = [views.frames.rgb[time], *(frames[view, frame] for view, frame in taken)]
    c2w, K = (torch.cat([getattr(camera, name) for camera in cameras]).to(frames.device) for name in ("c2w", "K"))
    return Pictures(torch.stack(rgb).clamp(0, 1), invert_rigid(c2w), K)


def _orders(count: int, steps: int, each: int, seed: int) -> list[Tensor]:
    """For each step the pictures it draws, the photograph (0) first; all frames come once before any comes again."""
    random = torch.Generator().manual_seed(seed)
    each, waiting, orders = min(each, count), torch.zeros(0, dtype=torch.int64), []
    for _ in range(steps):
        if len(waiting) < each:
            waiting = torch.cat([waiting, torch.randperm(count, generator=random)])
        orders.append(torch.cat([torch.zeros(1, dtype=torch.int64), 1 + waiting[:each]]))
        waiting = waiting[each:]
    return orders


def enlarged(K: Tensor, factor: float) -> Tensor:
    """[..., 3, 3] intrinsics of pictures ``factor`` times as large."""
    return torch.cat([K[..., :2, :] * factor, K[..., 2:, :]], dim=-2)


@torch.enable_grad()
def fitted(
    start: Gaussians,
    pictures: Pictures,
    steps: int,
    each: int,
    seed: int,
    on_step: Callable[[int], None] | None = None,
    options: RenderOptions | None = None,
) -> Gaussians:
    """Adam over all numbers of Gaussians; the start itself where there is nothing to do or to look at.

    With a finer source picture all are drawn at its size, and of the others the mean over each of their pixels counts.
    """
    count = len(pictures.rgb) - 1
    if not steps or not count or not len(start):
        return start
    drawn = replace(options or RenderOptions(), depth=False, check_cameras=False)
    finer = pictures.finer
    device, (height, width) = pictures.rgb.device, (pictures.rgb if finer is None else finer).shape[-2:]
    factor = height // pictures.rgb.shape[-2]
    where = torch.ones_like(pictures.rgb[0, 0], dtype=torch.bool) if pictures.where is None else pictures.where
    finer_where = where.repeat_interleave(factor, dim=0).repeat_interleave(factor, dim=1)
    weights = torch.tensor([_PHOTO] + [1.0] * min(each, count), device=device)[:, None, None, None]
    footprint = start.scales.max(dim=1, keepdim=True).values
    leaves = {
        "means": torch.zeros_like(start.means),
        "quats": start.quats,
        "scales": start.scales.clamp_min(1e-12).log(),
        "opacities": torch.logit(start.opacities.clamp(1e-3, 1 - 1e-3)),
        "colors": start.colors,
    }
    leaves = {name: value.detach().float().clone().requires_grad_() for name, value in leaves.items()}
    groups = [{"params": [leaves[name]], "lr": rate} for name, rate in _RATES.items()]
    optimizer = torch.optim.Adam(groups, betas=_BETAS, eps=_FAINTEST, fused=True)
    for step, order in enumerate(_orders(count, steps, each, seed)):
        rgb, w2c, K = (part[order.to(device, non_blocking=True)] for part in pictures[:3])
        for group, rate in zip(optimizer.param_groups, _RATES.values(), strict=True):
            group["lr"] = rate * _FALLS_TO ** (step / steps)
        shown, _, _ = rasterize(
            start.means + footprint * leaves["means"], leaves["quats"], leaves["scales"].exp(),
            leaves["opacities"].sigmoid(), leaves["colors"], w2c, enlarged(K, factor), height, width, drawn,
        )  # fmt: skip
        if finer is None:
            error = (weights * (shown - rgb) ** 2).sum()
        else:
            coarse = weights * factor**2 * (F.avg_pool2d(shown, factor) - rgb) ** 2
            fine = _PHOTO * (shown[0] - finer) ** 2
            error = coarse[1:].sum() + (coarse[0] * ~where).sum() + (fine * finer_where).sum()
        error.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if on_step is not None:
            on_step(step)
    ended = {name: value.detach() for name, value in leaves.items()}
    return Gaussians(
        means=start.means + footprint * ended["means"],
        quats=F.normalize(ended["quats"], dim=-1),
        scales=ended["scales"].exp(),
        opacities=ended["opacities"].sigmoid(),
        colors=ended["colors"].clamp(0, 1),
    )
