"""Scenes whose clips were filmed and not imagined: what a small set of captured videos would be."""

import torch
from torch import Tensor

from lyra.models.depth import DepthNet
from lyra.models.tokenizer import Tokenizer
from lyra.stages.warp import warp_clips
from lyra.training.imagined_scenes import ImaginedScenes, gather_scenes
from lyra.worlds import TextureStore, WorldBatch, film
from lyra.worlds.photographic import degrade, develop, draw_looks


@torch.no_grad()
def capture_scenes(
    worlds: WorldBatch,
    store: TextureStore,
    c2w: Tensor,
    height: int,
    width: int,
    anchor_frames: tuple[int, ...],
    tokenizer: Tokenizer,
    depth_net: DepthNet,
) -> ImaginedScenes:
    """Film W worlds along V paths each, with one camera a world, and encode the clips.

    In the form of `imagine_scenes`, so that the same training takes both; here ``frames`` are the filmed ones. Only
    the first picture has a photograph's noise. Depth is predicted, as it is of photographs.

    Args:
        worlds: W worlds.
        store: their textures.
        c2w: [W, V, T, 4, 4] paths from the identity on, in units of the source's median depth.
        height, width: of the pictures.
        anchor_frames: frames that carry Gaussians.
        tokenizer, depth_net: networks.
    """
    count, views = c2w.shape[:2]
    device = c2w.device
    repeat = torch.arange(count, device=device).repeat_interleave(views)
    half = torch.autocast(device.type, dtype=torch.bfloat16, enabled=device.type == "cuda")
    clip = film(worlds, store, c2w, height, width)
    looks = draw_looks(count).without_vignette()
    frames = develop(clip.rgb.flatten(0, 1), looks.pick(repeat.cpu()), clip.depth.flatten(0, 1), clip.scale[repeat])
    source = degrade(frames[::views, :1], looks)[:, 0].clamp(0, 1)
    frames = frames.clamp(0, 1)
    frames[:, 0] = source[repeat]
    with half:
        clips = [tokenizer.encode(part.transpose(1, 2)) for part in frames.split(6)]
    depth, _, _ = depth_net.infer(source)
    K = clip.K
    _, cache_depth, mask = warp_clips(source[repeat], depth[repeat], K[repeat], c2w.flatten(0, 1))
    return gather_scenes(
        source, depth, K, c2w, torch.cat(clips), frames, cache_depth, mask, anchor_frames, depth_net
    )  # fmt: skip
