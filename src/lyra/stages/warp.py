"""The 3D cache: lift the source picture with its depth and look at it from the cameras of a trajectory."""

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import invert_rigid
from lyra.geometry.constants import NEAR_DEPTH
from lyra.geometry.fill import fill_pyramid, fill_trusted, outer_holes, widened
from lyra.geometry.reliability import edge_mask
from lyra.geometry.splat import splat_points
from lyra.geometry.unprojection import unproject
from lyra.structures import Conditioning, Trajectory, Views

FARTHEST = 10.0
"""In units of the scene; farther makes no difference to what counts as near."""
AROUND = 4, 8
"""What is near is told by the farthest within 8 cells of 4 x 4 pixels to every side."""
NEARER, NEAR_POWER = 0.85, 6.0
"""What is nearer than this share of the farthest around is trusted less, by this power."""
CRACK = 1
"""A surface that is stretched has cracks; those up to twice so many pixels wide belong to it."""
RIM, RIM_TRUST = 2, 0.05
"""So many pixels from a hole colours may be those of two surfaces, and are trusted so little."""


SAME_CAMERA = 1e-5
"""Cameras whose matrices differ by less are the same."""


def fill_holes(rgb: Tensor, mask: Tensor, depth: Tensor | None = None) -> Tensor:
    """Fill what ``mask`` leaves open in [B, 3, H, W] pictures.

    What opens up within a picture is background, and is filled from there (`background_trust`). Cracks of a surface,
    and what comes in from beyond the picture's border, are filled from all that is near them.

    Args:
        rgb: pictures 0…1; values outside ``mask`` are ignored.
        mask: [B, H, W] bool.
        depth: [B, H, W] z, ``None`` for no preference.
    """
    evenly = fill_pyramid(rgb, mask)
    if depth is None:
        return evenly.clamp(0, 1)
    whole = ~widened(~widened(mask, CRACK), CRACK)
    far = F.max_pool2d(torch.where(mask, depth, 0.0)[:, None], 2 * CRACK + 1, 1, CRACK)[:, 0]
    behind = fill_trusted(evenly, whole, background_trust(torch.where(mask, depth, far), whole))
    return torch.where(outer_holes(mask)[:, None], evenly, behind).clamp(0, 1)


def background_trust(depth: Tensor, mask: Tensor) -> Tensor:
    """How much [B, H, W] pixels tell of what is behind them and around, 0…1.

    Little where something farther is around, and little at the rim of a hole, where depth and colour of two surfaces
    do not end at the same pixel.

    Args:
        depth: [B, H, W] z, any value outside ``mask``.
        mask: [B, H, W] bool.
    """
    cell, reach = AROUND
    seen = torch.where(mask, depth.clamp(max=FARTHEST), 0.0)[:, None]
    coarse = F.max_pool2d(seen, cell, cell, ceil_mode=True)
    coarse = F.max_pool2d(F.max_pool2d(coarse, (2 * reach + 1, 1), 1, (reach, 0)), (1, 2 * reach + 1), 1, (0, reach))
    farthest = F.interpolate(coarse, size=depth.shape[-2:], mode="bilinear", align_corners=False)
    trust = (seen / (NEARER * farthest.clamp(min=NEAR_DEPTH))).clamp(max=1) ** NEAR_POWER
    return torch.where(widened(~mask, RIM), trust[:, 0] * RIM_TRUST, trust[:, 0])


def warp_clips(
    rgb: Tensor, depth: Tensor, K: Tensor, c2w: Tensor, valid: Tensor | None = None
) -> tuple[Tensor, Tensor, Tensor]:
    """Forward-splat B source pictures into the T cameras of one clip each.

    Pixels at depth edges are not trusted (they would smear between surfaces) and leave holes, which are filled from
    what lies behind (`fill_holes`); over that, `lyra.stages.edges` draws them. Frame 0 is the source itself.

    Args:
        rgb: [B, 3, H, W] 0…1.
        depth: [B, H, W] z of the source.
        K: [B, 3, 3] intrinsics shared by source and targets.
        c2w: [B, T, 4, 4] target cameras in the source camera's frame; frame 0 is the identity.
        valid: [B, H, W] bool, source pixels that may be splatted; ``None`` for all.

    Returns:
        rgb [B, T, 3, H, W] with holes filled, depth [B, T, H, W] (0 in holes), visibility [B, T, H, W] bool.
    """
    batch, frames = c2w.shape[:2]
    height, width = rgb.shape[-2:]
    identity = torch.eye(4, device=rgb.device, dtype=c2w.dtype).expand(batch, 4, 4)
    points = unproject(depth, K, identity).reshape(batch, height * width, 3)
    outputs = []
    for item in range(batch):
        one = slice(item, item + 1)
        outputs.append(
            _splatted(
                points[one].expand(frames, -1, -1),
                rgb[one],
                depth[one],
                valid[one] if valid is not None else None,
                invert_rigid(c2w[item]),
                K[one].expand(frames, -1, -1),
            )
        )
    color, z, mask = (torch.stack(parts) for parts in zip(*outputs, strict=True))
    first = torch.zeros(frames, dtype=torch.bool, device=rgb.device)
    first[0] = True
    color = torch.where(first[:, None, None, None], rgb[:, None], color)
    z = torch.where(first[:, None, None], depth[:, None], z)
    return color, z, mask | first[:, None, None]


def warp_moving_clips(
    rgb: Tensor,
    depth: Tensor,
    K: Tensor,
    source_c2w: Tensor,
    c2w: Tensor,
    valid: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """The 4D cache: splat picture i of B source clips of T pictures into camera i of B target paths of T cameras.

    As `warp_clips`, but every target frame shows the moment of its own source picture. Where a target camera is the
    source's own camera, the frame is the source picture itself; a published path begins with one.

    Args:
        rgb: [B, T, 3, H, W] 0…1.
        depth: [B, T, H, W] z of the sources.
        K: [B, 3, 3] intrinsics shared by sources and targets.
        source_c2w: [B, T, 4, 4] cameras of the sources; all the identity for a camera that stands still.
        c2w: [B, T, 4, 4] target cameras in the same world.
        valid: [B, T, H, W] bool, source pixels that may be splatted; ``None`` for all.

    Returns:
        rgb [B, T, 3, H, W] with holes filled, depth [B, T, H, W] (0 in holes), visibility [B, T, H, W] bool.
    """
    batch, frames = rgb.shape[:2]
    height, width = rgb.shape[-2:]
    flat, z = rgb.flatten(0, 1), depth.flatten(0, 1)
    K = K[:, None].expand(-1, frames, -1, -1).flatten(0, 1)
    points = unproject(z, K, source_c2w.flatten(0, 1)).reshape(batch * frames, height * width, 3)
    usable = valid.flatten(0, 1) if valid is not None else None
    color, seen, mask = _splatted(points, flat, z, usable, invert_rigid(c2w.flatten(0, 1)), K)
    same = ((source_c2w - c2w).abs().amax(dim=(2, 3)) < SAME_CAMERA).flatten()
    color = torch.where(same[:, None, None, None], flat, color)
    seen = torch.where(same[:, None, None], z, seen)
    mask = mask | same[:, None, None]
    shape = (batch, frames)
    return color.unflatten(0, shape), seen.unflatten(0, shape), mask.unflatten(0, shape)


def _splatted(
    points: Tensor, rgb: Tensor, depth: Tensor, valid: Tensor | None, w2c: Tensor, K: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """B pictures with their holes filled, depth (0 in holes) and visibility, from what each or all of them splat.

    Args:
        points: [B, H * W, 3] world points of pixels.
        rgb, depth, valid: [B or 1, 3, H, W], [B or 1, H, W] and [B or 1, H, W] what they are made of.
        w2c, K: [B, 4, 4] and [B, 3, 3] cameras.
    """
    count, (height, width) = len(points), rgb.shape[-2:]
    used = ~edge_mask(depth)
    if valid is not None:
        used = used & valid
    weights = used.flatten(1).to(rgb.dtype).expand(count, -1)
    colour, z, mask = splat_points(points, rgb.flatten(2).expand(count, -1, -1), weights, w2c, K, height, width)
    return fill_holes(colour, mask, z), z, mask


@torch.no_grad()
def warp_moving(views: Views, trajectory: Trajectory) -> Conditioning:
    """The 4D cache along ``trajectory``: frame i shows picture i of ``views``, whose cameras are in the same world."""
    rgb, depth, mask = warp_moving_clips(
        views.frames.rgb[None],
        views.depth[None],
        views.cameras.K[:1],
        views.cameras.c2w[None],
        trajectory.cameras.c2w[None],
        views.mask[None],
    )
    return Conditioning(trajectory, views.frames.rgb[0], rgb[0], depth[0], mask[0])


@torch.no_grad()
def warp(views: Views, trajectory: Trajectory) -> Conditioning:
    """Render the cache of the first view along ``trajectory``, whose frame 0 must be that view's camera."""
    source_w2c = views.cameras.w2c[0]
    relative = source_w2c @ trajectory.cameras.c2w
    rgb, depth, mask = warp_clips(
        views.frames.rgb[:1], views.depth[:1], views.cameras.K[:1], relative[None], views.mask[:1]
    )
    return Conditioning(trajectory, views.frames.rgb[0], rgb[0], depth[0], mask[0])
