"""Worlds as the teacher meets photographs: taken by some camera, lifted, and imagined from other places."""

import torch
from torch import Tensor

from lyra.models.depth import DepthNet
from lyra.stages.warp import warp_clips
from lyra.worlds import TextureStore, WorldBatch, film
from lyra.worlds.photographic import CameraLook, degrade, develop


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
) -> tuple[Tensor, Tensor, Tensor]:
    """Film W worlds along V paths each, and warp their caches.

    All clips of a world are taken by one camera: exposure, colours, tone and lens are the same in the first frame and
    in the frames to be imagined, for a scene has one look. Noise and JPEG are in the first frame alone, which is given
    as a photograph is; the cache carries them along, and the frames to be imagined are without. Vignettes are left
    out: they stay in the picture when the camera moves, and no scene can show that.

    Args:
        worlds: W worlds.
        store: their textures.
        paths: [W, V, T, 4, 4] cameras in units of the source's median depth, from the identity on.
        height, width: size of the frames.
        depth_net: predicts the depth of the first frames.
        predicted: [W] bool, whether the cache is built from predicted depth rather than the true one.
        looks: W cameras, ``None`` for pictures as the tracer makes them.

    Returns:
        Clips [W * V, T, 3, H, W'] 0…1, their caches with holes filled, and visibility [W * V, T, H, W'] bool.
    """
    count, views = paths.shape[:2]
    clip = film(worlds, store, paths, height, width)
    frames, repeat = clip.rgb.flatten(0, 1), torch.arange(count, device=paths.device).repeat_interleave(views)
    if looks is not None:
        steady = looks.without_vignette()
        frames = develop(frames, steady.pick(repeat), clip.depth.flatten(0, 1), clip.scale[repeat])
        source = degrade(frames.unflatten(0, (count, views))[:, 0, :1], steady)[:, 0]
        frames[:, 0] = source[repeat]
    source = frames.unflatten(0, (count, views))[:, 0, 0]
    estimate, _, _ = depth_net.infer(source)
    depth = torch.where(predicted[:, None, None], estimate, clip.depth[:, 0, 0])
    warped, _, mask = warp_clips(source[repeat], depth[repeat], clip.K[repeat], paths.flatten(0, 1))
    return frames, warped, mask
