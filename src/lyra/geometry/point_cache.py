"""The growing 3D cache of GEN3C: pictures lifted by their depth, kept apart, and seen from other cameras."""

from dataclasses import dataclass, replace
from typing import NamedTuple

import torch
from torch import Tensor

from lyra.geometry.alignment import align_inverse_depth_affine, align_non_rigid
from lyra.geometry.cameras import invert_rigid, transform_points
from lyra.geometry.foreground import mask_occluded_by_edges
from lyra.geometry.reliability import reliable_mask
from lyra.geometry.splat import splat_points
from lyra.geometry.unprojection import unproject

PIXEL_CENTRE = 0.0
"""The published cache measures pixels at whole numbers, unlike the rays of the Gaussians."""

TOGETHER = 2
"""Renders that share the largest depth of their splatting weights, in the order frames, then buffers."""

FARTHEST_NEW = 1e4
"""Depth of a later source is kept between 0 and this before it is aligned."""


@dataclass(frozen=True)
class CacheConfig:
    """How sources enter the cache and how it is seen; the defaults are those of Lyra-1's data.

    Attributes:
        buffers: sources kept: the first one and the newest ``buffers`` - 1.
        point_filter: largest relative depth range around a pixel that is splatted (`reliable_mask`); None for all.
        foreground: whether surfaces stretched over depth edges hide what lies behind them.
        farthest: depth of the first source is kept between 0 and this.
    """

    buffers: int = 2
    point_filter: float | None = 0.05
    foreground: bool = True
    farthest: float = 100.0

    def __post_init__(self) -> None:
        if self.buffers < 1:
            raise ValueError(f"CacheConfig: {self.buffers} buffers, at least 1 is needed")


class CacheView(NamedTuple):
    """The N sources of a cache seen from T cameras, newest source first.

    ``rgb`` [T, N, 3, H, W] 0…1, black in holes; ``depth`` [T, N, H, W], 0 in holes; ``mask`` [T, N, H, W] bool.
    """

    rgb: Tensor
    depth: Tensor
    mask: Tensor


@dataclass(frozen=True)
class PointCache:
    """N pictures of H x W, lifted into the world, newest first; they are never merged.

    Attributes:
        config: see `CacheConfig`.
        points: [N, H, W, 3] world points in pixel order.
        rgb: [N, 3, H, W] 0…1.
        weights: [N, H, W] float, 0 where a point is not splatted.
        boundary: [H, W] bool, depth edges of the first source; it serves the later ones too, as published. Frames of a
            video have edges of their own, [N, H, W].
    """

    config: CacheConfig
    points: Tensor
    rgb: Tensor
    weights: Tensor
    boundary: Tensor

    @staticmethod
    def start(rgb: Tensor, depth: Tensor, c2w: Tensor, K: Tensor, config: CacheConfig | None = None) -> "PointCache":
        """A cache of one picture.

        Args:
            rgb: [3, H, W] 0…1.
            depth: [H, W] z along the optical axis; NaN counts as the farthest.
            c2w: [4, 4] its pose.
            K: [3, 3] intrinsics in pixels.
            config: defaults to Lyra-1's.
        """
        config = config or CacheConfig()
        depth = torch.nan_to_num(depth, nan=config.farthest).clamp(0, config.farthest)
        points, weights = _lifted(depth, c2w, K, config)
        return PointCache(config, points[None], rgb[None], weights[None], ~reliable_mask(depth[None])[0])

    def __len__(self) -> int:
        return len(self.points)

    def updated(self, rgb: Tensor, depth: Tensor, c2w: Tensor, K: Tensor) -> "PointCache":
        """The cache with one more picture, whose depth is first aligned to what the cache shows at its pose.

        The new source is put in front while there is room for it, then in the place of the newest: buffers are
        (newest, …, first). Arguments as in ``start``.
        """
        depth = self.aligned_depth(depth, c2w, K)
        points, weights = _lifted(depth, c2w, K, self.config)
        kept = slice(0 if len(self) < self.config.buffers else 1, None)
        return replace(
            self,
            points=torch.cat([points[None], self.points[kept]]),
            rgb=torch.cat([rgb[None], self.rgb[kept]]),
            weights=torch.cat([weights[None], self.weights[kept]]),
        )

    def aligned_depth(self, depth: Tensor, c2w: Tensor, K: Tensor) -> Tensor:
        """Depth [H, W] of a picture, aligned to the newest source seen at its pose; arguments as in ``start``.

        Affine in inverse depth, then a factor per pixel (`align_non_rigid`). The published code passes the pose the
        wrong way round to the second step, which turns the axes of its norm by the inverse pose; so do we.
        """
        depth = torch.nan_to_num(depth, nan=FARTHEST_NEW).clamp(0, FARTHEST_NEW)[None]
        seen = self.seen(c2w[None], K[None])
        reference, mask = seen.depth[:, 0], seen.mask[:, 0]
        affine = align_inverse_depth_affine(depth, reference, mask)
        return align_non_rigid(affine, reference, mask, K[None], invert_rigid(c2w)[None, :3, :3])[0]

    @torch.no_grad()
    def seen(self, c2w: Tensor, K: Tensor) -> CacheView:
        """Splat every source into T cameras.

        Args:
            c2w: [T, 4, 4] poses.
            K: [T, 3, 3] intrinsics in pixels of H x W.
        """
        frames, sources = len(c2w), len(self)
        height, width = self.points.shape[1:3]
        w2c = invert_rigid(c2w)
        views = [divmod(item, sources) for item in range(frames * sources)]
        parts = []
        for start in range(0, len(views), TOGETHER):
            group = views[start : start + TOGETHER]
            poses, intrinsics = (torch.stack([values[frame] for frame, _ in group]) for values in (w2c, K))
            number = torch.tensor([source for _, source in group], device=c2w.device)
            points = self.points[:1] if sources == 1 else self.points[number]
            parts.append(self._splat(points, number, poses, intrinsics, height, width))
        rgb, depth, mask = (torch.cat(part).unflatten(0, (frames, sources)) for part in zip(*parts, strict=True))
        return CacheView(rgb, depth, mask)

    def _splat(
        self, points: Tensor, number: Tensor, w2c: Tensor, K: Tensor, height: int, width: int
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Renders that are weighted together: source ``number`` [B] in camera b; points [B or 1, H, W, 3]."""
        flat = points.flatten(1, 2)
        deepest = transform_points(flat, w2c)[..., 2].amax()
        largest = torch.log1p(deepest.clamp(min=0)).expand(len(w2c))
        shared = slice(0, 1) if len(points) == 1 else number
        colour, depth, mask = splat_points(
            flat,
            self.rgb[shared].flatten(2),
            self.weights[shared].flatten(1),
            w2c,
            K,
            height,
            width,
            largest,
            PIXEL_CENTRE,
            whole_pixels_twice=True,
        )
        colour = colour.clamp(0, 1)
        if self.config.foreground:
            boundary = self.boundary[None] if self.boundary.dim() == 2 else self.boundary[number]
            return mask_occluded_by_edges(points, boundary, w2c, K, colour, depth, mask, PIXEL_CENTRE)
        return colour, depth, mask


@torch.no_grad()
def see_frame_by_frame(
    rgb: Tensor, depth: Tensor, c2w: Tensor, K: Tensor, targets: Tensor, config: CacheConfig | None = None
) -> CacheView:
    """Every frame of a video splatted into the camera of the same number: GEN3C's cache of a moving scene.

    Args:
        rgb: [T, 3, H, W] 0…1.
        depth: [T, H, W] z along the optical axis, 0 where it is not known.
        c2w, K: [T, 4, 4] and [T, 3, 3], of the video.
        targets: [T, 4, 4] c2w of the cameras that look; their intrinsics are those of the video.
        config: defaults to Lyra-1's; there is one buffer whatever it says.
    """
    config = config or CacheConfig()
    parts = []
    for start in range(0, len(rgb), TOGETHER):
        group = range(start, min(start + TOGETHER, len(rgb)))
        near = [depth[frame].clamp(0, config.farthest) for frame in group]
        lifted = [_lifted(one, c2w[frame], K[frame], config) for one, frame in zip(near, group, strict=True)]
        points, weights = (torch.stack(values) for values in zip(*lifted, strict=True))
        frames = slice(group.start, group.stop)
        cache = PointCache(config, points, rgb[frames], weights, ~reliable_mask(torch.stack(near)))
        number = torch.arange(len(group), device=rgb.device)
        parts.append(cache._splat(points, number, invert_rigid(targets[frames]), K[frames], *depth.shape[1:]))
    return CacheView(*(torch.cat(part)[:, None] for part in zip(*parts, strict=True)))


def _lifted(depth: Tensor, c2w: Tensor, K: Tensor, config: CacheConfig) -> tuple[Tensor, Tensor]:
    """World points [H, W, 3] and splatting weights [H, W] of a depth map."""
    depth = torch.nan_to_num(depth, nan=0.0, posinf=0.0, neginf=0.0)
    points = unproject(depth, K, c2w, PIXEL_CENTRE)
    if config.point_filter is None:
        return points, torch.ones_like(depth)
    return points, reliable_mask(depth[None], threshold=config.point_filter)[0].to(depth.dtype)
