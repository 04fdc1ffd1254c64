"""Worlds as the teacher meets photographs and clips: taken by some camera, lifted, imagined from other places."""

import torch
from torch import Tensor

from lyra.models.depth import DepthNet, clip_depth
from lyra.training.caches import moving_caches, still_caches
from lyra.worlds import TextureStore, WorldBatch, film, film_standing
from lyra.worlds.photographic import CameraLook, degrade, develop

SPAN = (0.5, 2.0)
"""Seconds that a clip covers, lowest and highest: slow motion to a picture every eighth of a second."""


def draw_times(count: int, frames: int, device: torch.device) -> Tensor:
    """[count, frames] seconds from 0 on."""
    low, high = SPAN
    span = low * (high / low) ** torch.rand(count, 1, device=device)
    return span * torch.linspace(0, 1, frames, device=device)


@torch.no_grad()
def world_clips(
    worlds: WorldBatch,
    store: TextureStore,
    paths: Tensor,
    height: int,
    width: int,
    depth_net: DepthNet,
    predicted: Tensor,
    looks: CameraLook | None = None,
    times: Tensor | None = None,
) -> tuple[Tensor, Tensor, Tensor]:
    """Film W worlds along V paths each, and warp their caches.

    All clips of a world are taken by one camera: exposure, colours, tone and lens are the same in the first frame and
    in the frames to be imagined, for a scene has one look. Noise and JPEG are in the first frame alone, which is given
    as a photograph is; the cache carries them along, and the frames to be imagined are without. Vignettes are left
    out: they stay in the picture when the camera moves, and no scene can show that.

    With ``times``, worlds in which something moves are given as clips: the source camera stands still for T pictures,
    the cache of frame i is picture i, and the frames to be imagined show the moving world. Both begin with the same
    picture. The predicted depth of such pictures is brought to one unit (`clip_depth`).

    Args:
        worlds: W worlds.
        store: their textures.
        paths: [W, V, T, 4, 4] cameras in units of the source's median depth, from the identity on.
        height, width: size of the frames.
        depth_net: predicts the depth of the pictures that are given.
        predicted: [W] bool, whether the cache is built from predicted depth rather than the true one.
        looks: W cameras, ``None`` for pictures as the tracer makes them.
        times: [W, T] seconds from 0 on, ``None`` for worlds in which time stands still.

    Returns:
        Clips [W * V, T, 3, H, W'] 0…1, their caches with holes filled and edges drawn, and visibility
        [W * V, T, H, W'] bool.
    """
    count, views = paths.shape[:2]
    some = times is not None and bool(worlds.moving.any())
    clip = film(worlds, store, paths, height, width, times if some else None)
    frames, repeat = clip.rgb.flatten(0, 1), torch.arange(count).repeat_interleave(views)
    steady = looks.without_vignette() if looks is not None else None
    if steady is not None:
        frames = develop(frames, steady.pick(repeat), clip.depth.flatten(0, 1), clip.scale.repeat_interleave(views))
    moving = worlds.moving if some else torch.zeros(count, dtype=torch.bool)
    still, moving = (~moving).nonzero()[:, 0], moving.nonzero()[:, 0]  # on the CPU, where nothing waits for them
    still_rows, moving_rows = still.to(paths.device), moving.to(paths.device)
    warped, mask = torch.empty_like(frames), torch.empty_like(clip.depth.flatten(0, 1), dtype=torch.bool)
    if len(still_rows):
        source = frames.unflatten(0, (count, views))[still_rows, 0, :1]
        source = (degrade(source, steady.pick(still)) if steady is not None else source)[:, 0]
        estimate, _, _ = depth_net.infer(source)
        depth = torch.where(predicted[still_rows, None, None], estimate, clip.depth[still_rows, 0, 0])
        each, clips = _clips_of(still_rows, views)
        parts = still_caches(source, depth, clip.K[still_rows], paths[still_rows])
        warped[clips], mask[clips], frames[clips, 0] = parts[0], parts[2], source[each]
    if len(moving_rows):
        assert times is not None
        pictures, true_depth = film_standing(
            worlds, store, moving_rows, times[moving_rows], clip.scale[moving_rows], height, width
        )
        if steady is not None:
            look = steady.pick(moving)
            pictures = degrade(develop(pictures, look, true_depth, clip.scale[moving_rows]), look)
        estimate = clip_depth(depth_net, pictures)
        depth = torch.where(predicted[moving_rows, None, None, None], estimate, true_depth)
        each, clips = _clips_of(moving_rows, views)
        parts = moving_caches(pictures, depth, clip.K[moving_rows], paths[moving_rows])
        warped[clips], mask[clips], frames[clips, 0] = parts[0], parts[2], pictures[each, 0]
    return frames, warped, mask


def _clips_of(rows: Tensor, views: int) -> tuple[Tensor, Tensor]:
    """For every clip of these worlds: its world's place among them, and its own place among all clips."""
    each = torch.arange(len(rows), device=rows.device).repeat_interleave(views)
    return each, (rows[:, None] * views + torch.arange(views, device=rows.device)).flatten()
