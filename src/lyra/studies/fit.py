"""Gaussians fitted to pictures of one scene, as it is done without a network."""

import time

import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.geometry import invert_rigid
from lyra.metrics import ssim
from lyra.raster import RenderOptions, rasterize
from lyra.structures import Gaussians
from lyra.studies.telling import Tell

RATES = {"means": 1.6e-4, "scales": 5e-3, "quats": 1e-3, "opacities": 5e-2, "colors": 2.5e-3}
"""The usual rates of 3DGS (Kerbl et al. 2023); positions in scene units, falling to a hundredth."""
_SIMILARITY = 0.2
_DRAWN = RenderOptions(depth=False, check_cameras=False)
"""No depth, which the losses do not ask for, and no look at the cameras, for which the host would wait."""


def optimise(start: Gaussians, pictures: Tensor, c2w: Tensor, K: Tensor, steps: int, tell: Tell = print) -> Gaussians:
    """Fit Gaussians to pictures by Adam: 0.8 mean absolute error + 0.2 (1 - SSIM), one random picture a step.

    Draws with gsplat on CUDA and with our own rasteriser on the CPU, as everything here does. On CUDA the host waits
    for the device once a step, inside gsplat, which asks for the number of pairs of a Gaussian and a tile.

    Args:
        start: where it begins; their number stays.
        pictures: [N, 3, H, W] 0…1.
        c2w: [N, 4, 4].
        K: [N, 3, 3] pixels.
        steps: how many.
        tell: receives a line ten times: the loss, the seconds so far, and milliseconds per step since the last line.
    """
    leaves = {
        "means": start.means,
        "quats": start.quats,
        "scales": start.scales.log(),
        "opacities": torch.logit(start.opacities.clamp(1e-3, 1 - 1e-3)),
        "colors": start.colors,
    }
    leaves = {name: value.detach().float().clone().requires_grad_() for name, value in leaves.items()}
    groups = [{"params": [leaves[name]], "lr": rate} for name, rate in RATES.items()]
    optimizer = torch.optim.Adam(groups, eps=1e-15, fused=True)
    w2c = invert_rigid(c2w)
    height, width = pictures.shape[-2:]
    order = torch.randint(len(pictures), (steps,)).tolist()
    every = max(1, steps // 10)
    began = last = time.perf_counter()
    for step, number in enumerate(order):
        optimizer.param_groups[0]["lr"] = RATES["means"] * 0.01 ** (step / steps)
        at = slice(number, number + 1)
        image, _, _ = rasterize(
            leaves["means"], leaves["quats"], leaves["scales"].exp(), leaves["opacities"].sigmoid(), leaves["colors"],
            w2c[at], K[at], height, width, _DRAWN,
        )  # fmt: skip
        loss = (1 - _SIMILARITY) * (image - pictures[at]).abs().mean()
        loss = loss + _SIMILARITY * (1 - ssim(image, pictures[at]).mean())
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        if (step + 1) % every == 0:
            reached, now = float(loss.detach()), time.perf_counter()  # in this order: the number waits for the GPU
            pace = 1e3 * (now - last) / every
            tell(f"  step {step + 1} of {steps}: loss {reached:.4f}, {now - began:.1f} s, {pace:.2f} ms a step")
            last = now
    ended = {name: value.detach() for name, value in leaves.items()}
    return Gaussians(
        means=ended["means"],
        quats=F.normalize(ended["quats"], dim=-1),
        scales=ended["scales"].exp(),
        opacities=ended["opacities"].sigmoid(),
        colors=ended["colors"].clamp(0, 1),
    )
