"""The smooth camera path of previews: it sways around the source camera and comes back to it."""

import math

import torch

from lyra.geometry.cameras import look_at
from lyra.structures import Cameras


def smooth_tour(source: Cameras, frames: int, reach: float = 0.16, centre_depth: float = 1.0) -> Cameras:
    """A closed path that moves sideways, up and down, in and out, always looking at the centre of the scene.

    Args:
        source: one camera; the path begins and (after its last frame) ends there.
        frames: length of the path.
        reach: largest sideways movement in units of ``centre_depth``.
        centre_depth: distance of the point looked at, in scene units.
    """
    phase = torch.linspace(0, 2 * math.pi, frames + 1, dtype=torch.float32)[:-1]
    offset = torch.stack(
        [torch.sin(phase), -0.35 * torch.sin(2 * phase), 0.6 * (1 - torch.cos(phase)) * torch.sin(phase / 2)], dim=-1
    )
    eye = offset * reach * centre_depth
    target = torch.tensor([0.0, 0.0, centre_depth]).expand_as(eye)
    relative = look_at(eye, target).to(source.c2w)
    return Cameras(source.c2w[:1] @ relative, source.K[:1].expand(frames, 3, 3), source.height, source.width)
