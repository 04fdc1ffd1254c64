"""Photographs that move as scenes do: lifted with a depth network, first seen from elsewhere, then approached.

A photograph shows one view, so what its objects hide is unknown. Turned round in time it is known: the clip begins at
a virtual view, rendered from the lifted photograph, and ends (or, on a circle, comes farthest) at the photograph
itself. What opens up on the way is then what stands in the real picture, beside real edges. The first frame has gaps
of its own, on the other side of things; they are filled smoothly and belong to the scene from then on.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry.cameras import invert_rigid
from lyra.geometry.fill import fill_trusted
from lyra.geometry.reliability import reliable_mask
from lyra.geometry.splat import splat_points
from lyra.geometry.unprojection import unproject
from lyra.models.depth import DepthNet
from lyra.models.depth.model import SIZE_MULTIPLE
from lyra.stages.warp import background_trust, fill_holes
from lyra.training.caches import still_caches
from lyra.training.device_data import PhotoTiles, random_intrinsics
from lyra.worlds.photographic import CameraLook, develop

LONG_MARGIN, SHORT_MARGIN = 14 / 64, 1 / 4
"""How far the lifted picture reaches beyond the frame on each side, as shares of the frame's long and short side."""

_SHARP = 1.5  # reference for the splat's weighting of depth: smaller lets near points hide far ones more strictly
_RAMP = 0.3  # relative depth range of a neighbourhood that no single surface has


class LiftedClips(NamedTuple):
    """B clips of T frames.

    Attributes:
        frames: [B, T, 3, H, W] 0…1; frame ``photo_frame`` is the photograph.
        warped: [B, T, 3, H, W] the 3D cache built from frame 0, its holes filled and edges drawn.
        mask: [B, T, H, W] bool, where the cache shows something.
        photo_frame: [B] int64.
    """

    frames: Tensor
    warped: Tensor
    mask: Tensor
    photo_frame: Tensor


@torch.no_grad()
def lifted_clips(
    photos: PhotoTiles, depth_net: DepthNet, c2w: Tensor, height: int, width: int, looks: CameraLook | None = None
) -> LiftedClips:
    """Film photographs along camera paths.

    Args:
        photos: where pictures come from.
        depth_net: lifts them.
        c2w: [B, T, 4, 4] paths that start at the identity, in units of the centre depth.
        height, width: size of the frames.
        looks: B cameras; what they do to light and colours is done to the pictures before they are lifted, so that
            all frames agree. Their lenses, noise and JPEG are left out: photographs have their own.
    """
    count = len(c2w)
    across, down = _margins(width, height), _margins(height, width)
    canvas = photos.windows(count, height + 2 * down, width + 2 * across)
    if looks is not None:
        canvas = develop(canvas[:, None], looks.without_lens())[:, 0]
    K = random_intrinsics(count, height, width, canvas.device)
    return lift(canvas, _depth(depth_net, canvas), K, c2w, height, width)


@torch.no_grad()
def lift(canvas: Tensor, depth: Tensor, K: Tensor, c2w: Tensor, height: int, width: int) -> LiftedClips:
    """The clips of given pictures and depths.

    Args:
        canvas: [B, 3, H', W'] pictures that reach beyond the frame on all sides.
        depth: [B, H', W'] z.
        K: [B, 3, 3] intrinsics of the frame, whose principal point is the middle.
        c2w: [B, T, 4, 4] paths that start at the identity.
        height, width: size of the frame.
    """
    batch, frames = c2w.shape[:2]
    left, top = (canvas.shape[-1] - width) // 2, (canvas.shape[-2] - height) // 2
    photo_frame = c2w[..., :3, 3].norm(dim=-1).argmax(dim=1)
    item = torch.arange(batch, device=canvas.device)
    canvas_K = K.clone()
    canvas_K[:, 0, 2] += left
    canvas_K[:, 1, 2] += top
    points = unproject(snap_edges(depth), canvas_K, c2w[item, photo_frame]).reshape(batch, -1, 3)
    colours = canvas.flatten(2)
    everywhere = torch.ones_like(points[..., 0])
    first, near, seen = _splat(points, colours, everywhere, c2w[:, :1], K, height, width)
    first, near, seen = first[:, 0], near[:, 0], seen[:, 0]
    view = fill_holes(first, seen, near)
    behind = torch.where(seen, near, 1.0)[:, None].log()
    view_depth = fill_trusted(behind, seen, background_trust(near, seen))[:, 0].exp()
    extra = unproject(view_depth, K, torch.eye(4, device=K.device).expand(batch, 4, 4)).reshape(batch, -1, 3)
    points = torch.cat([points, extra], dim=1)
    colours = torch.cat([colours, view.flatten(2)], dim=2)
    weights = torch.cat([everywhere, (~seen).flatten(1).float()], dim=1)
    truth, z, covered = _splat(points, colours, weights, c2w, K, height, width)
    truth = fill_holes(truth.flatten(0, 1), covered.flatten(0, 1), z.flatten(0, 1)).unflatten(0, (batch, frames))
    truth[:, 0] = view
    truth[item, photo_frame] = canvas[..., top : top + height, left : left + width]
    warped, _, mask = still_caches(view, view_depth, K, c2w[:, None])
    return LiftedClips(truth, warped, mask, photo_frame)


def snap_edges(depth: Tensor, window: int = 5) -> Tensor:
    """Depth [B, H, W] whose ramps between two surfaces belong to the nearer one or the farther one.

    Networks blur depth edges; points on such a ramp would float between the surfaces.
    """
    ramp = ~reliable_mask(depth, window, _RAMP)
    log_depth = depth.log()[:, None]
    high = F.max_pool2d(log_depth, window, 1, window // 2)[:, 0]
    low = -F.max_pool2d(-log_depth, window, 1, window // 2)[:, 0]
    log_depth = log_depth[:, 0]
    nearest = torch.where(high - log_depth < log_depth - low, high, low)
    return torch.where(ramp, nearest.exp(), depth)


def _margins(side: int, other: int) -> int:
    return round((LONG_MARGIN if side >= other else SHORT_MARGIN) * side)


def _depth(depth_net: DepthNet, pictures: Tensor) -> Tensor:
    """[B, H, W] predicted depth of pictures of any size."""
    height, width = pictures.shape[-2:]
    size = [-(-side // SIZE_MULTIPLE) * SIZE_MULTIPLE for side in (height, width)]
    resized = F.interpolate(pictures, size=size, mode="bilinear", align_corners=False)
    depth, _, _ = depth_net.infer(resized)
    return F.interpolate(depth[:, None].log(), size=(height, width), mode="bilinear", align_corners=False)[:, 0].exp()


def _splat(
    points: Tensor, colours: Tensor, weights: Tensor, c2w: Tensor, K: Tensor, height: int, width: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Colours [B, T, 3, H, W], z and coverage [B, T, H, W] of each clip's points [B, N, 3] in its T cameras."""
    frames = c2w.shape[1]
    reference = torch.full((frames,), _SHARP, device=points.device)
    parts = [
        splat_points(
            points[i : i + 1], colours[i : i + 1], weights[i : i + 1], invert_rigid(c2w[i]),
            K[i : i + 1].expand(frames, -1, -1), height, width, reference,
        )
        for i in range(len(points))
    ]  # fmt: skip
    values, z, mask = (torch.stack(column) for column in zip(*parts, strict=True))
    return values, z, mask
