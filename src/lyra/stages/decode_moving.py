"""Latents of a moving scene become Gaussians: what the source shows at each moment, and what it hides."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lyra.models.decoder import Anchor, DecoderInputs, GaussianDecoder, clip_times
from lyra.models.depth import DepthNet, aligned_depth
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Conditioning, Gaussians, Latents, Views

MIN_OPACITY = 0.02
"""Fainter Gaussians are dropped."""


@torch.no_grad()
def decode_visible(
    views: Views, decoder: GaussianDecoder, tokenizer: Tokenizer, moments: Sequence[int]
) -> tuple[Gaussians, ...]:
    """One set of Gaussians for each of some source pictures: what it shows, at its own depth.

    Each picture is read as a clip of one frame, seen by its own camera, with the decoder's anchor on the source picture
    alone; the sets come out in the world of ``views``.

    Args:
        views: T source pictures with steady depth.
        decoder, tokenizer: networks.
        moments: source pictures that Gaussians are wanted for.
    """
    anchor = _source_anchor(decoder)
    height, width = views.frames.height, views.frames.width
    sets = []
    for time in moments:
        rgb = views.frames.rgb[time]
        latents = tokenizer.normalize(tokenizer.encode(rgb[None, :, None]))
        frame_times, target_time = clip_times(decoder.config, 1, 1, None, rgb.device)
        inputs = DecoderInputs(
            latents=latents[None],
            c2w=torch.eye(4, device=rgb.device)[None, None, None],
            K=views.cameras.K[None, time : time + 1],
            height=height,
            width=width,
            rgb=rgb[None, None, None],
            depth=views.depth[None, None, time : time + 1],
            visible=torch.ones(1, 1, 1, height, width, device=rgb.device),
            anchors=(anchor,),
            frame_times=frame_times,
            target_time=target_time,
        )
        gaussians = decoder(inputs).item(0)
        gaussians = gaussians[gaussians.opacities >= MIN_OPACITY]
        sets.append(placed(gaussians, views.cameras.c2w[time]))
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
        views: T source pictures, which define the world.
        latents: V clips; ``conditionings`` their 4D caches; ``frames`` [V, T, 3, H, W] their pictures.
        decoder, tokenizer, depth_net: networks.
        moments: source pictures that Gaussians are wanted for.

    Returns:
        One set for each moment. A decoder that knows no times gives the same for all; in any case
        `lyra.stages.background.behind` says which Gaussians the source does not contradict.
    """
    inputs = hidden_inputs(views, latents, conditionings, frames, decoder, tokenizer, depth_net)
    tokens = decoder.mix(inputs)
    last = max(len(views.frames) - 1, 1)
    sets: list[Gaussians] = []
    for moment in moments:
        if sets and not decoder.config.pooled_time:
            sets.append(sets[0])
            continue
        _, target_time = clip_times(decoder.config, 1, frames.shape[1], moment / last, frames.device)
        inputs = replace(inputs, target_time=target_time)
        gaussians = decoder.read(tokens, inputs).item(0)
        sets.append(gaussians[gaussians.opacities >= MIN_OPACITY])
    return tuple(sets)


def hidden_inputs(
    views: Views,
    latents: Latents,
    conditionings: Sequence[Conditioning],
    frames: Tensor,
    decoder: GaussianDecoder,
    tokenizer: Tokenizer,
    depth_net: DepthNet,
) -> DecoderInputs:
    """The decoder's inputs with its later anchors alone."""
    later = tuple(anchor for anchor in decoder.config.anchors if anchor.frame > 0)
    wanted = sorted({anchor.frame for anchor in later})
    rgb = frames[:, wanted].clamp(0, 1)
    cache_depth = torch.stack([told.depth[wanted] for told in conditionings])
    cache_mask = torch.stack([told.mask[wanted] for told in conditionings])
    depth = torch.stack(
        [aligned_depth(depth_net, rgb[:, i], cache_depth[:, i], cache_mask[:, i]) for i in range(len(wanted))], dim=1
    )
    frame_times, target_time = clip_times(decoder.config, 1, frames.shape[1], 1.0, frames.device)
    return DecoderInputs(
        latents=tokenizer.normalize(latents.z)[None],
        c2w=torch.stack([path.cameras.c2w for path in latents.trajectories])[None],
        K=torch.stack([path.cameras.K[0] for path in latents.trajectories])[None],
        height=views.frames.height,
        width=views.frames.width,
        rgb=rgb[None],
        depth=depth[None],
        visible=cache_mask[None].to(rgb.dtype),
        anchors=later,
        frame_times=frame_times,
        target_time=target_time,
    )


def placed(gaussians: Gaussians, c2w: Tensor) -> Gaussians:
    """Gaussians of a camera's own axes, moved to where the camera [4, 4] stands."""
    rotation = c2w[:3, :3]
    return replace(
        gaussians,
        means=gaussians.means @ rotation.mT + c2w[:3, 3],
        quats=_turned(rotation, gaussians.quats),
    )


def _turned(rotation: Tensor, quats: Tensor) -> Tensor:
    """Quaternions [N, 4] w, x, y, z after a rotation [3, 3]."""
    trace = rotation.diagonal().sum()
    w = torch.sqrt((1 + trace).clamp(min=1e-8)) / 2
    x, y, z = ((rotation[i, j] - rotation[j, i]) / (4 * w) for i, j in ((2, 1), (0, 2), (1, 0)))
    a, b, c, d = quats.unbind(-1)
    product = [
        w * a - x * b - y * c - z * d,
        w * b + x * a + y * d - z * c,
        w * c - x * d + y * a + z * b,
        w * d + x * c - y * b + z * a,
    ]
    return torch.nn.functional.normalize(torch.stack(product, dim=-1), dim=-1)


def _source_anchor(decoder: GaussianDecoder) -> Anchor:
    """The anchor of the source picture."""
    return next(anchor for anchor in decoder.config.anchors if anchor.frame == 0)
