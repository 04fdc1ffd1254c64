"""The 3D decoder and all that is fed to it against plain implementations of their description."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lyra.geometry import look_at, plucker_rays, trajectory_c2w
from lyra.models.decoder import DecoderConfig, GaussianDecoder
from lyra.models.decoder.official import to_official
from lyra.models.tokenizer import CosmosTokenizer, CosmosTokenizerConfig
from lyra.stages import decode_published
from lyra.stages.decode_published import published_decoder_inputs, time_latents
from lyra.structures import Cameras, InputError, Latents, Trajectory

from . import plain_decoder as plain

SMALL = DecoderConfig(
    latent_channels=4, ray_channels=8, width=16, depth=4, heads=2, attention_every=2, ssm_state=8, ssm_head=8,
    ssm_chunk=16, ray_dtype="float32",
)  # fmt: skip
HEIGHT, WIDTH, FRAMES = 32, 48, 9


def decoder(config: DecoderConfig = SMALL) -> GaussianDecoder:
    torch.manual_seed(0)
    net = GaussianDecoder(config).eval()
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))
    return net


@pytest.fixture(scope="module")
def tokenizer() -> CosmosTokenizer:
    torch.manual_seed(0)
    config = CosmosTokenizerConfig(4, (8, 8, 8, 8), (8, 8, 8, 8), 1, 2, "bfloat16")
    net = CosmosTokenizer(config).eval()
    net.set_latent_statistics(torch.randn(4, 2), 0.5 + torch.rand(4, 2))
    return net


def latents(views: tuple[str, ...] = ("clockwise", "left")) -> tuple[Latents, Cameras]:
    """Clips of some trajectories around a source camera that is not the identity."""
    source = look_at(torch.tensor([0.2, -0.1, 0.3]), torch.tensor([0.1, 0.4, 3.0]))
    K = torch.tensor([[40.0, 0, 23.5], [0, 42.0, 16.25], [0, 0, 1]])
    z = torch.randn(len(views), 4, 2, HEIGHT // 8, WIDTH // 8, generator=torch.Generator().manual_seed(1))
    paths = [
        Cameras(trajectory_c2w(name, FRAMES, 0.4, 1.0, source), K.repeat(FRAMES, 1, 1), HEIGHT, WIDTH) for name in views
    ]
    trajectories = tuple(Trajectory(name, cameras, 0.4) for name, cameras in zip(views, paths, strict=True))
    return Latents(z, trajectories, "cosmos"), Cameras(source[None], K[None], HEIGHT, WIDTH)


@torch.no_grad()
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_inputs(tokenizer, precision):
    clips, source = latents()
    config = replace(SMALL, ray_dtype=precision, use_time=True)
    inputs = published_decoder_inputs(clips, decoder(config), tokenizer, source, target=3)
    assert torch.equal(inputs.latents[0], tokenizer.unrounded(clips.z))  # raw, with statistics of full precision
    first = np.linalg.inv(clips.trajectories[0].cameras.c2w[0].double().numpy())
    for view, trajectory in enumerate(clips.trajectories):
        relative = first @ trajectory.cameras.c2w.double().numpy()
        np.testing.assert_allclose(inputs.c2w[0, view].numpy(), relative, atol=1e-5)
        maps = plucker_rays(inputs.c2w[0, view], inputs.K[0, view], HEIGHT, WIDTH, getattr(torch, precision))
        moment, direction = maps.float().transpose(0, 1)[None].split(3, dim=1)
        expected = torch.cat([tokenizer.vae.encode(part).latent_dist.mode() for part in (moment, direction)], dim=1)
        torch.testing.assert_close(inputs.plucker[0, view], expected[0], atol=1e-5, rtol=1e-5)


@torch.no_grad()
def test_time_signal(tokenizer):
    found = time_latents(tokenizer, FRAMES, 6, HEIGHT, WIDTH)
    clip = np.zeros((1, 3, FRAMES, HEIGHT, WIDTH), np.float32)
    target = np.zeros((1, 3, 1, HEIGHT, WIDTH), np.float32)
    for frame in range(FRAMES):
        s = frame / (FRAMES - 1)
        clip[0, :, frame] = np.array([s, math.cos(s), math.sin(s)])[:, None, None] * 2 - 1
    target[0, :, 0] = np.array([0.75, math.cos(0.75), math.sin(0.75)])[:, None, None] * 2 - 1
    for part, expected in ((found[:, :2], clip), (found[:, 2:], target)):
        code = tokenizer.vae.encode(torch.from_numpy(expected)).latent_dist.mode()[0]
        torch.testing.assert_close(part, code, atol=1e-5, rtol=1e-5)
    with pytest.raises(InputError, match="target frame 9 is outside 0…8"):
        time_latents(tokenizer, FRAMES, 9, HEIGHT, WIDTH)


@torch.no_grad()
@pytest.mark.parametrize("moving", [False, True], ids=["static", "dynamic"])
def test_gaussians_of_a_whole_scene(tokenizer, moving):
    clips, source = latents()
    net = decoder(replace(SMALL, use_time=moving))
    scene = decode_published(clips, net, tokenizer, source, (0, 6))
    state = {name: value.double().numpy() for name, value in to_official(net).items()}
    assert len(scene.gaussians) == (2 if moving else 1) and scene.times == ((0.0, 0.25) if moving else (0.0,))
    for gaussians, target in zip(scene.gaussians, (0, 6), strict=False):
        inputs = published_decoder_inputs(clips, net, tokenizer, source, target)
        arrays = [value[0].double().numpy() for value in (inputs.latents, inputs.plucker)]
        time = inputs.time_latents[0].double().numpy() if moving else None
        everything = plain.decode(state, net.config, *arrays, time, inputs.c2w[0].double().numpy(), inputs.K[0].numpy())
        expected = plain.prune(everything)
        assert len(everything) == 2 * 9 * 4 * 6 and len(gaussians) == len(expected) == 86
        found = torch.cat(
            [gaussians.means, gaussians.opacities[:, None], gaussians.scales, gaussians.quats, gaussians.colors], dim=1
        )
        np.testing.assert_allclose(found.double().numpy(), expected, rtol=1e-4, atol=1e-4)
    if moving:
        assert not torch.equal(scene.gaussians[0].means, scene.gaussians[1].means)
    assert torch.equal(scene.source.c2w[0], torch.eye(4))


def test_number_kept_by_pruning_is_cut_off_in_doubles():
    assert int(10_222_080 * (1 - 0.8)) == 2_044_415 == int(6 * 121 * 88 * 160 * (1 - SMALL.prune_ratio))
