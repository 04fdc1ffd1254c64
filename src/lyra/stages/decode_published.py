"""Latents become Gaussians with the published decoder: rays through the tokenizer, times for moving scenes."""

from collections.abc import Sequence
from dataclasses import replace

import torch
from torch import Tensor

from lyra.geometry.rays import plucker_rays
from lyra.models.decoder import DecoderInputs, GaussianDecoder, relative_to_first_pose
from lyra.models.tokenizer import Tokenizer
from lyra.structures import Cameras, InputError, Latents, Scene

FRAMES_TOGETHER = 8
"""Frames whose full-size ray maps are computed at once; their intermediate values are several times larger."""


def plucker_latents(
    tokenizer: Tokenizer, c2w: Tensor, K: Tensor, height: int, width: int, dtype: torch.dtype
) -> Tensor:
    """Plücker maps of one view, coded as two clips whose values are taken as they are.

    Args:
        tokenizer: codes three channels at a time.
        c2w: [T, 4, 4] in the frame of the first camera of the first view.
        K: [3, 3] pixels.
        height, width: of the pictures.
        dtype: precision of the rays, pixel grid included.

    Returns:
        [2 C, t, h, w]: latents of the moments, then of the directions.
    """
    rays = torch.cat([plucker_rays(few, K, height, width, dtype) for few in c2w.split(FRAMES_TOGETHER)]).transpose(0, 1)
    return torch.cat([tokenizer.encode_signed(part[None])[0] for part in rays.split(3)])


def time_latents(tokenizer: Tokenizer, frames: int, target: int, height: int, width: int) -> Tensor:
    """The time signal of T source frames and of one target frame.

    Each time, brought to 0…1 over all of them, becomes three constant pictures: itself, its cosine and its sine.

    Returns:
        [C, t + 1, h, w]: latents of the clip of source times, then of the picture of the target time.

    Raises:
        InputError: the target is not one of the source frames.
    """
    if not 0 <= target < frames:
        raise InputError(f"target frame {target} is outside 0…{frames - 1}")
    place = torch.cat([torch.arange(frames), torch.tensor([target])]).to(tokenizer.latent_mean)
    place = (place - place.min()) / (place.max() - place.min()).clamp(min=1)
    signal = torch.stack([place, place.cos(), place.sin()])[:, :, None, None].expand(-1, -1, height, width)
    source, wanted = tokenizer.encode(signal[None, :, :-1]), tokenizer.encode(signal[None, :, -1:])
    return torch.cat([source, wanted], dim=2)[0]


def published_decoder_inputs(
    latents: Latents, decoder: GaussianDecoder, tokenizer: Tokenizer, reference: Cameras, target: int = 0
) -> DecoderInputs:
    """Inputs of the published decoder for one scene; poses become relative to the reference camera.

    Args:
        latents: V clips; a static decoder trained with the spiral as first view wants it first.
        decoder, tokenizer: the networks.
        reference: the first camera is the origin of the Gaussians.
        target: frame whose time the Gaussians show (decoders of moving scenes).
    """
    cameras = [trajectory.cameras for trajectory in latents.trajectories]
    height, width = cameras[0].height, cameras[0].width
    dtype = getattr(torch, decoder.config.ray_dtype)
    weights = next(decoder.parameters())
    c2w = torch.stack([one.c2w for one in cameras])[None]
    c2w = relative_to_first_pose(c2w, reference.c2w[None, None, :1])
    K = torch.stack([one.K[0] for one in cameras])
    rays = torch.stack(
        [plucker_latents(tokenizer, poses, k, height, width, dtype) for poses, k in zip(c2w[0], K, strict=True)]
    )
    time = None
    if decoder.config.use_time:
        time = time_latents(tokenizer, c2w.shape[2], target, height, width)[None].to(weights)
    return DecoderInputs(
        latents=tokenizer.unrounded(latents.z)[None].to(weights),
        c2w=c2w,
        K=K[None],
        height=height,
        width=width,
        plucker=rays[None].to(weights),
        time_latents=time,
    )


@torch.no_grad()
def decode_published(
    latents: Latents,
    decoder: GaussianDecoder,
    tokenizer: Tokenizer,
    reference: Cameras,
    targets: Sequence[int] = (0,),
    fps: float = 24.0,
) -> Scene:
    """Turn multi-view latents into Gaussians, in the frame of the reference camera.

    Args:
        latents, decoder, tokenizer: as in `published_decoder_inputs`.
        reference: the source camera; the first camera is the origin.
        targets: frames whose times are wanted; a decoder of still scenes has one set of Gaussians whatever they are.
        fps: frames per second, for the times of the scene.
    """
    wanted = tuple(targets) if decoder.config.use_time else tuple(targets)[:1]
    inputs = published_decoder_inputs(latents, decoder, tokenizer, reference, wanted[0])
    sets = [decoder(inputs).item(0)]
    for target in wanted[1:]:  # only the time is another one: rays take two passes of the tokenizer for every view
        time = time_latents(tokenizer, inputs.c2w.shape[2], target, inputs.height, inputs.width)
        sets.append(decoder(replace(inputs, time_latents=time[None].to(inputs.latents))).item(0))
    origin = Cameras(torch.eye(4).to(reference.c2w)[None], reference.K[:1], reference.height, reference.width)
    return Scene(tuple(sets), origin, tuple(target / fps for target in wanted))
