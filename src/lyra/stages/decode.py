"""Latents become Gaussians: assemble the decoder's inputs, run it, keep what is worth keeping."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from lyra.models.decoder import DecoderInputs, GaussianDecoder, clip_times
from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, Latents, Scene, Views


class Anchors(NamedTuple):
    """Known geometry of the frames that carry Gaussians.

    ``rgb`` [B, V, A, 3, H, W], ``depth`` [B, V, A, H, W], ``visible`` [B, V, A, H, W] float 0…1.
    """

    rgb: Tensor
    depth: Tensor
    visible: Tensor


def prepare_inputs(
    decoder: GaussianDecoder, tokenizer: Tokenizer, latents: Tensor, c2w: Tensor, K: Tensor, anchors: Anchors
) -> DecoderInputs:
    """The decoder's inputs for B scenes of V clips; training and the pipeline both call this.

    Args:
        decoder: which is fed.
        tokenizer: whose space ``latents`` are in.
        latents: [B, V, C, t, h, w] unnormalised.
        c2w: [B, V, T, 4, 4] in the source camera's frame.
        K: [B, V, 3, 3] pixels.
        anchors: geometry at ``decoder.config.anchor_frames``.
    """
    height, width = anchors.rgb.shape[-2:]
    normalised = tokenizer.normalize(latents.flatten(0, 1)).unflatten(0, latents.shape[:2])
    frame_times, target_time = clip_times(decoder.config, len(c2w), c2w.shape[2], None, c2w.device)
    return DecoderInputs(
        latents=normalised,
        c2w=c2w,
        K=K,
        height=height,
        width=width,
        rgb=anchors.rgb,
        depth=anchors.depth,
        visible=anchors.visible,
        frame_times=frame_times,
        target_time=target_time,
    )


@torch.no_grad()
def decode(
    views: Views,
    latents: Latents,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    decoder: GaussianDecoder,
    tokenizer: Tokenizer,
    depth_net: DepthNet,
    min_opacity: float = 0.02,
) -> Scene:
    """Turn multi-view latents into one set of Gaussians.

    Args:
        views: the source view, which defines the world frame and lends its own pixels and depth to frame 0.
        latents: V clips.
        conditionings: the caches the clips were imagined from, in the same order.
        frames: [V, T, 3, H, W] the tokenizer's decode of ``latents``, 0…1.
        decoder, tokenizer, depth_net: the networks.
        min_opacity: fainter Gaussians are dropped.
    """
    source_w2c = views.cameras.w2c[0]
    wanted = list(decoder.config.anchor_frames)
    rgb = frames[:, wanted].clamp(0, 1)  # indexing copies: the source's own pixels may be put in
    cache_depth = torch.stack([c.depth[wanted] for c in conditionings])
    cache_mask = torch.stack([c.mask[wanted] for c in conditionings])
    depth = torch.empty_like(cache_depth)
    for anchor, frame in enumerate(wanted):
        if frame == 0:
            depth[:, anchor] = views.depth[0]
            rgb[:, anchor] = views.frames.rgb[0]
        else:
            depth[:, anchor] = aligned_depth(depth_net, rgb[:, anchor], cache_depth[:, anchor], cache_mask[:, anchor])
    c2w = torch.stack([source_w2c @ t.cameras.c2w for t in latents.trajectories])
    K = torch.stack([t.cameras.K[0] for t in latents.trajectories])
    anchors = Anchors(rgb[None], depth[None], cache_mask[None].to(rgb.dtype))
    inputs = prepare_inputs(decoder, tokenizer, latents.z[None], c2w[None], K[None], anchors)
    gaussians = decoder(inputs).item(0)
    gaussians = gaussians[gaussians.opacities >= min_opacity]
    return Scene((gaussians,), views.cameras[0])
