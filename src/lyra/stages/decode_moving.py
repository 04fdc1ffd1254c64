"""Latents of a moving scene become Gaussians: what the source shows at each moment, and what it hides."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lyra.geometry import compose, invert_rigid
from lyra.geometry.gaussian_sets import moved
from lyra.models.decoder import Anchor, DecoderConfig, DecoderInputs, GaussianDecoder, clip_times
from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, Gaussians, Latents, Views

MIN_OPACITY = 0.02
"""Fainter Gaussians are dropped."""


def picture_inputs(config: DecoderConfig, tokenizer: Tokenizer, rgb: Tensor, depth: Tensor, K: Tensor) -> DecoderInputs:
    """The decoder's inputs for B pictures, each read as a clip of one frame, seen by its own camera.

    Training and the pipeline both call this. Of the decoder's anchors that on the source picture alone counts, and
    Gaussians come out in the axes of each picture's camera.

    Args:
        config: the decoder's.
        tokenizer: encodes the pictures.
        rgb: [B, 3, H, W] 0…1.
        depth: [B, H, W] z.
        K: [B, 3, 3] pixels.
    """
    batch, _, height, width = rgb.shape
    frame_times, target_time = clip_times(config, batch, 1, None, rgb.device)
    return DecoderInputs(
        latents=tokenizer.normalize(tokenizer.encode(rgb[:, :, None]))[:, None],
        c2w=torch.eye(4, device=rgb.device).expand(batch, 1, 1, 4, 4),
        K=K[:, None],
        height=height,
        width=width,
        rgb=rgb[:, None, None],
        depth=depth[:, None, None],
        visible=torch.ones(batch, 1, 1, height, width, device=rgb.device),
        anchors=tuple(anchor for anchor in config.anchors if anchor.frame == 0)[:1],
        frame_times=frame_times,
        target_time=target_time,
    )


def later_anchors(config: DecoderConfig) -> tuple[Anchor, ...]:
    """The decoder's anchors on frames after the source picture."""
    return tuple(anchor for anchor in config.anchors if anchor.frame > 0)


def later_frames(config: DecoderConfig) -> list[int]:
    """The frames that `later_anchors` stand on, rising."""
    return sorted({anchor.frame for anchor in later_anchors(config)})


def later_inputs(
    config: DecoderConfig,
    tokenizer: Tokenizer,
    latents: Tensor,
    c2w: Tensor,
    K: Tensor,
    rgb: Tensor,
    depth: Tensor,
    visible: Tensor,
    target: float,
) -> DecoderInputs:
    """The decoder's inputs for B scenes of V clips, with its later anchors alone; training and the pipeline call this.

    Args:
        config: the decoder's; its `later_frames` are the A frames of ``rgb``, ``depth`` and ``visible``.
        tokenizer: whose space ``latents`` are in.
        latents: [B, V, C, t, h, w] unnormalised.
        c2w: [B, V, T, 4, 4] in the axes of the source's first camera, as the decoder was trained.
        K: [B, V, 3, 3] pixels.
        rgb: [B, V, A, 3, H, W] 0…1; depth: [B, V, A, H, W] z; visible: [B, V, A, H, W] float 0…1.
        target: the time that Gaussians are wanted for, 0…1 over the clip.
    """
    frame_times, target_time = clip_times(config, len(c2w), c2w.shape[2], target, c2w.device)
    return DecoderInputs(
        latents=tokenizer.normalize(latents.flatten(0, 1)).unflatten(0, latents.shape[:2]),
        c2w=c2w,
        K=K,
        height=rgb.shape[-2],
        width=rgb.shape[-1],
        rgb=rgb,
        depth=depth,
        visible=visible,
        anchors=later_anchors(config),
        frame_times=frame_times,
        target_time=target_time,
    )


@torch.no_grad()
def decode_visible(
    views: Views, decoder: GaussianDecoder, tokenizer: Tokenizer, moments: Sequence[int]
) -> tuple[Gaussians, ...]:
    """One set of Gaussians for each of some source pictures: what it shows, at its own depth.

    The sets come out in the world of ``views``.

    Args:
        views: T source pictures with steady depth.
        decoder, tokenizer: networks.
        moments: source pictures that Gaussians are wanted for.
    """
    sets = []
    for time in moments:
        one = slice(time, time + 1)
        inputs = picture_inputs(
            decoder.config, tokenizer, views.frames.rgb[one], views.depth[one], views.cameras.K[one]
        )
        sets.append(moved(_solid(decoder(inputs).item(0)), views.cameras.c2w[time]))
    return tuple(sets)


@torch.no_grad()
def decode_hidden(
    views: Views,
    latents: Latents,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    decoder: GaussianDecoder,
    tokenizer: Tokenizer,
    depth_net: DepthNet,
    moments: Sequence[int],
) -> tuple[Gaussians, ...]:
    """What the source pictures hide, as the six clips show it at the decoder's later anchors.

    Args:
        views: T source pictures, which define the world; their first camera may stand anywhere in it.
        latents: V clips; ``conditionings`` their 4D caches; ``frames`` [V, T, 3, H, W] their pictures.
        decoder, tokenizer, depth_net: networks.
        moments: source pictures that Gaussians are wanted for.

    Returns:
        One set for each moment. A decoder that knows no times gives the same for all; in any case
        `lyra.stages.background.behind` says which Gaussians the source does not contradict.
    """
    config, home = decoder.config, views.cameras.c2w[0]
    wanted = later_frames(config)
    rgb = frames[:, wanted].clamp(0, 1)
    cache_depth = torch.stack([told.depth[wanted] for told in conditionings])
    cache_mask = torch.stack([told.mask[wanted] for told in conditionings])
    depth = torch.stack(
        [aligned_depth(depth_net, rgb[:, i], cache_depth[:, i], cache_mask[:, i]) for i in range(len(wanted))], dim=1
    )
    # a chunk begins anywhere in the world of the whole clip; the decoder knows clips that begin at the identity
    c2w = compose(invert_rigid(home), torch.stack([path.cameras.c2w for path in latents.trajectories]))
    K = torch.stack([path.cameras.K[0] for path in latents.trajectories])
    inputs = later_inputs(
        config, tokenizer, latents.z[None], c2w[None], K[None], rgb[None], depth[None], cache_mask[None].to(rgb), 1.0
    )
    tokens = decoder.mix(inputs)
    last = max(len(views.frames) - 1, 1)
    sets: list[Gaussians] = []
    for moment in moments:
        if sets and not config.pooled_time:
            sets.append(sets[0])
            continue
        _, target_time = clip_times(config, 1, frames.shape[1], moment / last, frames.device)
        found = decoder.read(tokens, replace(inputs, target_time=target_time)).item(0)
        sets.append(moved(_solid(found), home))
    return tuple(sets)


def _solid(gaussians: Gaussians) -> Gaussians:
    return gaussians[gaussians.opacities >= MIN_OPACITY]
