"""The published 3D cache: start it with a picture, look at it along a trajectory, let it grow."""

import torch
from torch import Tensor

from lyra.geometry.point_cache import CacheConfig, PointCache, see_frame_by_frame
from lyra.structures import Cameras, Conditioning, Trajectory, Views

FILE_GAIN = 255 / 256
"""Published programmes read a conditioning picture from a file as v / 128 - 1, all others as v / 127.5 - 1."""


def start_cache(views: Views, config: CacheConfig | None = None) -> PointCache:
    """The cache of the first view. Where its depth is not valid it counts as the farthest, as the sky does."""
    config = config or CacheConfig()
    depth = torch.where(views.mask[0], views.depth[0], config.farthest)
    return PointCache.start(views.frames.rgb[0], depth, views.cameras.c2w[0], views.cameras.K[0], config)


def grow_cache(cache: PointCache, rgb: Tensor, depth: Tensor, camera: Cameras) -> PointCache:
    """The cache with one more picture [3, H, W] 0…1, its depth [H, W] in any scale, seen by one camera."""
    return cache.updated(rgb, depth, camera.c2w[0], camera.K[0])


def warp_published(cache: PointCache, trajectory: Trajectory, source: Tensor, from_file: bool = True) -> Conditioning:
    """See the cache along a trajectory; holes stay black, frame 0 is a render like the others.

    Args:
        cache: 1 or more sources; each gets buffers of its own.
        trajectory: T cameras of the cache's size.
        source: [3, H, W] 0…1, the clean first frame.
        from_file: whether ``source`` is the user's picture (see `FILE_GAIN`) or one that was imagined before.
    """
    seen = cache.seen(trajectory.cameras.c2w, trajectory.cameras.K)
    newest, *older = ((seen.rgb[:, n], seen.mask[:, n]) for n in range(len(cache)))
    gain = FILE_GAIN if from_file else 1.0
    return Conditioning(trajectory, source * gain, newest[0], seen.depth[:, 0], newest[1], tuple(older))


def warp_video(views: Views, trajectory: Trajectory, config: CacheConfig | None = None) -> Conditioning:
    """Every frame of a video seen by the camera of the same number along a trajectory; one buffer, nothing aligned."""
    video, target = views.cameras, trajectory.cameras
    seen = see_frame_by_frame(views.frames.rgb, views.depth, video.c2w, video.K, target.c2w, config)
    return Conditioning(trajectory, views.frames.rgb[0], seen.rgb[:, 0], seen.depth[:, 0], seen.mask[:, 0])
