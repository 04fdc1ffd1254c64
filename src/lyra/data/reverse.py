"""Motion-reversed supervision: a moving scene played backwards, cameras included.

A scene that moves is imagined a second time from its source played backwards, and the clips are played backwards again
afterwards. Frame i of them shows the source at time i, but the camera is farthest away at the beginning, so that every
moment of the source is seen from near and from far.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from lyra.structures import Cameras, Frames, SceneRecord, Views


def reverse_views(views: Views) -> Views:
    """The source played backwards: pictures, depth, masks and cameras together."""
    return Views(
        Frames(views.frames.rgb.flip(0), views.frames.fps),
        views.depth.flip(0),
        views.mask.flip(0),
        _reverse_cameras(views.cameras),
    )


def reverse_in_time(record: SceneRecord, encode: Callable[[Tensor], Tensor]) -> SceneRecord:
    """A moving record played backwards, with the poses, intrinsics and times of its frames.

    The published generator turns pictures and intrinsics back but leaves the poses as they were, so that its reversed
    clips carry the camera of another moment. Here everything that belongs to a frame stays with it. Latents cannot be
    turned around, for the tokenizers are causal: the reversed pictures are encoded anew.

    Args:
        record: with ``times`` and ``frames``.
        encode: raw latents [V, C, t, h, w] of clips [V, 3, T, H, W] 0…1, such as `Tokenizer.encode`.

    Raises:
        ValueError: the record stands still or has no pictures.
    """
    if record.times is None:
        raise ValueError(f"reverse_in_time: {record.key} stands still, there is no time to reverse")
    if record.frames is None:
        raise ValueError(f"reverse_in_time: {record.key} has no pictures to encode anew")
    frames = record.frames.flip(1)
    paths = tuple(replace(path, cameras=_reverse_cameras(path.cameras)) for path in record.latents.trajectories)
    z = encode(frames.float().div(255).transpose(1, 2))
    return replace(
        record,
        latents=replace(record.latents, z=z, trajectories=paths),
        views=reverse_views(record.views),
        frames=frames,
        depth=None if record.depth is None else record.depth.flip(1),
        mask=None if record.mask is None else record.mask.flip(1),
        times=record.times.flip(0),
    )


def _reverse_cameras(cameras: Cameras) -> Cameras:
    return cameras[torch.arange(len(cameras) - 1, -1, -1, device=cameras.c2w.device)]
