"""Gaps between the decoder's Gaussians are covered with what the teacher imagined there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import chain
from typing import NamedTuple

import torch
from torch import Tensor

from lyra.geometry import transform_points
from lyra.geometry.constants import SAME_POSE
from lyra.geometry.gaussian_sets import joined, of_pixels
from lyra.models.depth import DepthNet, aligned_depth
from lyra.nn import side_by_side
from lyra.raster import RenderOptions, render
from lyra.structures import Cameras, Conditioning, Gaussians, InputError, Scene, Views

BEHIND = 1.01
"""New Gaussians lie at least this much farther than what the source picture shows in their direction."""
PUSH, PUSHES = 1.06, 25
"""A point that would stand before the source picture is moved away along its ray, so much and so often."""
DEPTHS_TOGETHER = 16
"""Frames whose depth is asked for at once where there is no CPU to divide."""
_NO_DEPTH = RenderOptions(depth=False, check_cameras=False)
"""Cameras of a path were looked through when it was planned or read."""
MOMENT_GAPS = 0.002
"""Of a moving scene, gaps of a moment that are smaller than this share of a picture stay."""


@dataclass(frozen=True)
class CoverConfig:
    """Where gaps are looked for.

    Attributes:
        every: of each trajectory every so many frames; 0 leaves the gaps open.
        transparency: share of the background that shows through a pixel from which on it counts as a gap.
        smallest: share of a picture that must be gaps; less is left as it is.
    """

    every: int = 2
    transparency: float = 0.2
    smallest: float = 0.0

    def __post_init__(self) -> None:
        if self.every < 0 or not 0 < self.transparency < 1:
            raise InputError(f"gaps every {self.every} frames from {self.transparency:g} on; give 0 or more, and 0…1")


@torch.no_grad()
def cover(
    scene: Scene,
    views: Views,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    depth_net: DepthNet,
    config: CoverConfig | None = None,
) -> Scene:
    """Add Gaussians where a trajectory's camera would look through the scene.

    The decoder stands its Gaussians on a few frames of each clip; what opens up between these, as behind the bars of
    a window or along a circle that has returned by then, has none. Wherever the render of a frame lets the background
    through, the pixels that the teacher imagined there are lifted by their depth and join the scene, before the next
    frame is looked at. What a trajectory uncovers cannot stand before what the source picture shows: points that would
    are moved back along their rays until they lie behind it, or left out.

    Args:
        scene: a static scene.
        views: the source view first.
        conditionings: the caches the clips were imagined from; their cameras are in the frame of the scene.
        frames: [V, T, 3, H, W] the tokenizer's decode of the clips, 0…1.
        depth_net: depth of imagined frames, aligned to the cache.
        config: where to look.

    Returns:
        The scene with the new Gaussians behind the old ones.
    """
    config = config or CoverConfig()
    gaussians = scene.gaussians[0]
    stops = list(_stops(conditionings, views.cameras, config.every))
    if not stops:
        return scene
    cameras = [conditionings[view].trajectory.cameras[frame] for view, frame in stops]
    poses, K = (torch.cat([getattr(camera, name) for camera in cameras]) for name in ("c2w", "K"))
    through = 1 - render(gaussians, replace(cameras[0], c2w=poses, K=K), _NO_DEPTH).alpha
    # what is added makes gaps smaller, never larger: where there is none now, there will be none
    sizes = (through > config.transparency).flatten(1).sum(dim=1).tolist()
    open_at = [at for at, size in enumerate(sizes) if size > _smallest(through[at], config)]
    source = _Source.of(views)

    size = 1 if frames.device.type == "cpu" else DEPTHS_TOGETHER
    batches = [[stops[at] for at in open_at[first : first + size]] for first in range(0, len(open_at), size)]

    def depths_of(number: int) -> Tensor:
        return _depths(depth_net, frames, conditionings, batches[number])

    added = gaussians[:0]
    depths = chain.from_iterable(side_by_side(depths_of, len(batches), frames.device))
    for at, depth in zip(open_at, depths, strict=True):
        # light passes the old Gaussians and then the new ones, in whatever order they stand
        new = render(added, cameras[at], _NO_DEPTH).alpha[0]
        gap = (through[at] * (1 - new) > config.transparency).flatten().nonzero()[:, 0]
        if len(gap) > _smallest(depth, config):
            view, frame = stops[at]
            added = joined(added, _lifted(frames[view, frame], depth, gap, poses[at], K[at], source))
    return replace(scene, gaussians=(joined(gaussians, added), *scene.gaussians[1:]))


@torch.no_grad()
def cover_moment(
    gaussians: Gaussians,
    views: Views,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    depth_net: DepthNet,
    time: int,
    config: CoverConfig | None = None,
) -> Gaussians:
    """The Gaussians that close the gaps of one moment of a moving scene, seen from the clips' cameras at that moment.

    As `cover`, for frame ``time`` of every clip; what is added cannot stand before source picture ``time``.

    Args:
        gaussians: the scene at that moment.
        views: T source pictures.
        conditionings: the 4D caches the clips were imagined from.
        frames: [V, T, 3, H, W] pictures of the clips.
        depth_net: depth of imagined frames, aligned to the cache.
        time: which moment.
        config: its transparency counts.

    Returns:
        The new Gaussians alone.
    """
    config = config or CoverConfig(smallest=MOMENT_GAPS)
    source = views.cameras.c2w[time]
    here = Views(views.frames[time : time + 1], views.depth[time : time + 1], views.mask[time : time + 1],
                 views.cameras[time])  # fmt: skip
    everything = gaussians
    for view, told in enumerate(conditionings):
        if float((told.trajectory.cameras.c2w[time] - source).abs().max()) <= SAME_POSE:
            continue
        everything = joined(everything, _found(everything, here, told, frames[view, time], time, depth_net, config))
    return everything[len(gaussians) :]


def _found(
    gaussians: Gaussians,
    views: Views,
    told: Conditioning,
    picture: Tensor,
    frame: int,
    depth_net: DepthNet,
    config: CoverConfig,
) -> Gaussians:
    """Gaussians for the gaps that frame ``frame`` of one clip sees."""
    camera, picture = told.trajectory.cameras[frame], picture.clamp(0, 1)
    gap = (render(gaussians, camera, _NO_DEPTH).alpha[0] < 1 - config.transparency).flatten().nonzero()[:, 0]
    if len(gap) <= _smallest(told.depth[frame], config):
        return gaussians[:0]
    depth = aligned_depth(depth_net, picture[None], told.depth[frame][None], told.mask[frame][None], settled=False)[0]
    return _lifted(picture, depth, gap, camera.c2w[0], camera.K[0], _Source.of(views))


def _smallest(picture: Tensor, config: CoverConfig) -> float:
    """Up to so many pixels of a picture [H, W] are not worth filling."""
    return config.smallest * picture.numel()


def _depths(
    depth_net: DepthNet, frames: Tensor, conditionings: Sequence[Conditioning], stops: Sequence[tuple[int, int]]
) -> Tensor:
    """z [N, H, W] of the frames (view, frame) of clips ``frames`` [V, T, 3, H, W]."""
    pictures, depth, mask = (
        torch.stack([of[view][frame] for view, frame in stops])
        for of in (frames, [told.depth for told in conditionings], [told.mask for told in conditionings])
    )
    return aligned_depth(depth_net, pictures, depth, mask, settled=False)


def _stops(conditionings: Sequence[Conditioning], source: Cameras, every: int) -> Iterator[tuple[int, int]]:
    """(view, frame), early frames of all views first; never the source's pose, nor one pose of a clip twice."""
    if every == 0:
        return
    poses = [told.trajectory.cameras.c2w.cpu() for told in conditionings]  # where no comparison waits for a GPU
    seen: list[list[Tensor]] = [[source.c2w[0].cpu()] for _ in conditionings]
    length = max((len(told.trajectory.cameras) for told in conditionings), default=0)
    for frame in range(every, length, every):
        for view, told in enumerate(conditionings):
            if frame >= len(told.trajectory.cameras):
                continue
            pose = poses[view][frame]
            if all(float((pose - other).abs().max()) > SAME_POSE for other in seen[view]):
                seen[view].append(pose)
                yield view, frame


class _Source(NamedTuple):
    """What the source picture shows: w2c [4, 4], K [3, 3], z [H, W]."""

    w2c: Tensor
    K: Tensor
    depth: Tensor

    @staticmethod
    def of(views: Views) -> "_Source":
        return _Source(views.cameras.w2c[0], views.cameras.K[0], views.depth[0])


def _lifted(picture: Tensor, depth: Tensor, gap: Tensor, c2w: Tensor, K: Tensor, source: _Source) -> Gaussians:
    """Pixels of a picture [3, H, W], ``gap`` [N] their places in a row, as Gaussians at z ``depth`` [H, W] or farther.

    A GPU is waited for twice: for how many stand before the source picture, and for how many are left.
    """
    width = depth.shape[1]
    z, colors = depth.flatten()[gap], picture.flatten(1).T[gap].clamp(0, 1)
    ahead = torch.ones_like(z)
    column, row = gap % width + 0.5 * ahead, gap // width + 0.5 * ahead
    rays = torch.stack([(column - K[0, 2]) / K[0, 0], (row - K[1, 2]) / K[1, 1], ahead], dim=-1) @ c2w[:3, :3].mT
    eye = c2w[:3, 3]
    fits = _hidden(eye + rays * z[:, None], source)
    before = (~fits).nonzero()[:, 0]  # the few that stand before the source picture
    pushed = z[before] * PUSH ** torch.arange(1, PUSHES + 1, device=z.device)[:, None]
    behind = _hidden(eye + rays[before] * pushed[..., None], source)
    first = behind.int().argmax(dim=0)[None]
    z[before], fits[before] = pushed.gather(0, first)[0], behind.gather(0, first)[0]
    left = fits.nonzero()[:, 0]
    z = z[left]
    return of_pixels(eye + rays[left] * z[:, None], z, colors[left], K)


def _hidden(points: Tensor, source: _Source) -> Tensor:
    """[...] whether points [..., 3] lie outside the source picture or behind what it shows."""
    x, y, z = transform_points(points, source.w2c).unbind(dim=-1)
    K, (height, width) = source.K, source.depth.shape
    column, row = x / z * K[0, 0] + K[0, 2], y / z * K[1, 1] + K[1, 2]
    inside = (z > 0) & (column >= 0) & (column < width) & (row >= 0) & (row < height)
    surface = source.depth[row.long().clamp(0, height - 1), column.long().clamp(0, width - 1)]
    return ~inside | (z >= BEHIND * surface)
