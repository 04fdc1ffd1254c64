"""Diffusion network, conditioning, guidance and sampling against plain implementations of their description."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lyra.diffusion import Guidance, guided, karras_sigmas, sample_placed
from lyra.geometry import CacheConfig, PointCache, trajectory_c2w
from lyra.models.teacher import PublishedInputs, PublishedTeacher, TeacherConfig, frame_noise
from lyra.models.teacher.config import official
from lyra.models.teacher.official import to_official
from lyra.models.tokenizer import CosmosTokenizer, CosmosTokenizerConfig
from lyra.stages import PublishedSampling, imagine_published, published_inputs, warp_published
from lyra.structures import Cameras, InputError, Trajectory

from . import plain_teacher as plain

TINY = replace(
    official(), latent_channels=4, mask_channels=4, heads=2, head_dim=12, layers=2, text_dim=6, text_tokens=3,
    adaln_lora_dim=5, max_size=(8, 16, 16),
)  # fmt: skip


def tiny_teacher(config: TeacherConfig = TINY) -> PublishedTeacher:
    """Random weights, none of them zero."""
    torch.manual_seed(0)
    teacher = PublishedTeacher(config).eval()
    with torch.no_grad():
        for parameter in teacher.parameters():
            parameter.add_(0.3 * torch.randn_like(parameter))
    return teacher


def tiny_inputs(t: int = 3, seed: int = 1) -> PublishedInputs:
    generator = torch.Generator().manual_seed(seed)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, generator=generator)

    return PublishedInputs(
        draw(1, 4, 1, 4, 6),
        draw(1, 2, 4, t, 4, 6),
        draw(1, 2, 4, t, 4, 6),
        draw(1, 3, 6),
        noise=frame_noise((1, 4, t, 4, 6), 1),
    )


def plainly(teacher: PublishedTeacher, inputs: PublishedInputs):
    """F(x, sigma, conditional) of the plain network with the weights and conditioning given."""
    config = teacher.config
    state = {name.removeprefix("net."): value.double().numpy() for name, value in
             to_official(teacher.state_dict(), config.layers).items()}  # fmt: skip
    warped, mask = inputs.warped[0].double().numpy(), inputs.mask[0].double().numpy()
    text = np.zeros((3, 6)) if inputs.text is None else inputs.text[0].double().numpy()
    indicator = np.zeros(warped.shape[2:])
    indicator[0] = 1

    def F(x, sigma, conditional):
        seen = (warped, mask) if conditional else (0 * warped, 0 * mask)
        hidden = plain.channels(x, sigma, *seen, indicator)
        return plain.network(state, hidden, 0.25 * math.log(sigma), text, config.heads, config.layers)

    return F


@torch.no_grad()
@pytest.mark.parametrize("level", [80.0, 1.3, 0.0005])
def test_network_and_estimate(level):
    teacher, inputs = tiny_teacher(), tiny_inputs()
    x = level * torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(2))
    ours = teacher(x, torch.tensor([level]), inputs)[0].double().numpy()
    z, n = inputs.source[0, :, 0].double().numpy(), inputs.noise[0, :, 0].double().numpy()
    state = x[0].double().numpy().copy()
    if level > 0.001:
        state[:, 0] = (z + 0.001 * n) * math.sqrt(level**2 + 0.25) / math.sqrt(0.001**2 + 0.25)
    F = plainly(teacher, inputs)(state, level, True)
    assert np.abs(F).mean() > 0.1
    expected = 0.25 / (level**2 + 0.25) * state + 0.5 * level / math.sqrt(level**2 + 0.25) * F
    if level > 0.001:
        expected[:, 0] = z
    np.testing.assert_allclose(ours, expected, atol=2e-5)


def test_zero_text_adds_nothing_whatever_its_length():
    teacher, inputs = tiny_teacher(), tiny_inputs()
    x, sigma = torch.randn(1, 4, 3, 4, 6), torch.tensor([2.0])
    results = [teacher(x, sigma, replace(inputs, text=torch.zeros(1, length, 6))) for length in (1, 3, 512)]
    torch.testing.assert_close(results[0], results[2], atol=1e-6, rtol=0)
    torch.testing.assert_close(results[1], teacher(x, sigma, replace(inputs, text=None)), atol=1e-6, rtol=0)
    assert (teacher(x, sigma, inputs) - results[0]).abs().max() > 1e-3


def test_noise_levels():
    levels = karras_sigmas(35, official().sigma_min, official().sigma_max)
    np.testing.assert_allclose(levels.numpy(), plain.sigmas(), rtol=1e-12)
    stated = [80, 67.126, 56.070]
    assert levels[:3].tolist() == pytest.approx(stated, abs=5e-4)
    assert levels[-3:].tolist() == pytest.approx([0.00055, 0.0002, 0], abs=5e-6)
    assert pytest.approx(80.00625, abs=1e-6) == (80.0**2 + 1) ** 0.5 and official().steps == 35


@torch.no_grad()
@pytest.mark.parametrize("weight", [0.0, 1.0])
def test_the_whole_loop_of_35_steps(weight):
    teacher, inputs = tiny_teacher(), tiny_inputs()
    noise = torch.randn(1, 4, 3, 4, 6, generator=torch.Generator().manual_seed(3))
    empty = inputs.without_cache()
    calls = []

    def unconditional(x, sigma):
        calls.append(float(sigma[0]))
        return teacher(x, sigma, empty)

    ours = sample_placed(
        guided(lambda x, s: teacher(x, s, inputs), unconditional, Guidance(weight)),
        noise,
        karras_sigmas(35, 0.0002, 80.0),
        lambda x, level: teacher.place(x, level, inputs),
    )
    expected = plain.sample(
        plainly(teacher, inputs),
        *(part[0, :, 0].double().numpy() for part in (inputs.source, inputs.noise)),
        noise[0].double().numpy(),
        weight,
    )
    np.testing.assert_allclose(ours[0].double().numpy(), expected, atol=1e-4, rtol=1e-4)
    assert len(calls) == (35 if weight else 0)
    # the last two levels leave the first frame to the network
    assert 1e-5 < (ours[:, :, 0] - inputs.source[:, :, 0]).abs().max() < 0.01


def test_noise_of_the_first_frame_is_the_same_at_every_step():
    expected = np.random.RandomState(7).standard_normal((1, 4, 3, 4, 6)).astype(np.float32)[:, :, :1]
    assert np.array_equal(frame_noise((1, 4, 3, 4, 6), 7).numpy(), expected)


def test_guidance_only_where_it_acts_and_in_the_published_convention():
    guidance = Guidance(3.0, lowest=0.5, highest=2.0)
    denoise = guided(lambda x, s: x + 1, lambda x, s: x - 1, guidance)
    x = torch.zeros(1)
    assert denoise(x, torch.tensor([1.0])).item() == 1 + 3 * (1 - -1)
    assert denoise(x, torch.tensor([3.0])).item() == 1 and denoise(x, torch.tensor([0.1])).item() == 1
    with pytest.raises(ValueError, match="no interval"):
        Guidance(1.0, 2.0, 1.0)
    assert PublishedSampling().passes(0.0002, 80) == 70 and PublishedSampling(35, Guidance(0)).passes(0.0002, 80) == 35


def test_a_kept_difference_is_renewed_at_every_so_manieth_guided_level():
    levels = [5.0, 1.9, 1.5, 1.2, 0.9, 0.7, 0.1]
    guidance = Guidance(2.0, lowest=0.5, highest=2.0, refresh=2)
    asked: list[float] = []

    def unconditional(x: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        asked.append(float(s[0]))
        return x - s

    denoise = guided(lambda x, s: x + 1, unconditional, guidance)
    found = [denoise(torch.zeros(1), torch.tensor([level])).item() for level in levels]
    assert asked == pytest.approx([1.9, 1.2, 0.7])
    kept = [None, 1.9, 1.9, 1.2, 1.2, 0.7, None]
    assert found == pytest.approx([1 if one is None else 1 + 2 * (1 + one) for one in kept])
    assert guidance.passes(levels) == len(levels) + len(asked)
    with pytest.raises(ValueError, match="refresh 0 is below 1"):
        Guidance(refresh=0)


def toy_tokenizer() -> CosmosTokenizer:
    torch.manual_seed(0)
    config = CosmosTokenizerConfig(4, (8, 8, 8, 8), (8, 8, 8, 8), 1, 3, "bfloat16")
    net = CosmosTokenizer(config).eval()
    generator = torch.Generator().manual_seed(4)
    mean, std = torch.randn(4, 3, generator=generator), 0.5 + torch.rand(4, 3, generator=generator)
    net.set_latent_statistics(mean, std)
    return net


@torch.no_grad()
def test_statistics_are_rounded_for_the_teacher_but_not_for_the_decoder():
    net = toy_tokenizer()
    raw = torch.randn(1, 4, 3, 2, 2)
    normal = net.normalize(raw)
    rounded_mean, rounded_std = (v.bfloat16().double().numpy() for v in (net.latent_mean, net.latent_std))
    mean, std = (v.double().numpy() for v in (net.latent_mean, net.latent_std))
    z = raw[0].double().numpy()
    for channel in range(4):
        for frame in range(3):
            expected = (z[channel, frame] - rounded_mean[channel, frame]) / rounded_std[channel, frame] * 0.5
            np.testing.assert_allclose(normal[0, channel, frame].numpy(), expected, atol=1e-5)
            back = normal[0, channel, frame].double().numpy() / 0.5 * std[channel, frame] + mean[channel, frame]
            np.testing.assert_allclose(net.unrounded(raw)[0, channel, frame].numpy(), back, atol=1e-5)
    torch.testing.assert_close(net.denormalize(normal), raw)
    assert (net.unrounded(raw) - raw).abs().max() > 1e-4


@torch.no_grad()
def test_conditioning_of_a_clip_is_encoded_as_published():
    """First picture v / 128 - 1 in front of grey frames, masks as clips of -1 and 1, absent buffers zero."""
    teacher, net = tiny_teacher(), toy_tokenizer()
    generator = torch.Generator().manual_seed(5)
    pixels = torch.randint(0, 256, (3, 32, 48), generator=generator)
    K = torch.tensor([[40.0, 0, 24], [0, 40.0, 16], [0, 0, 1]])
    cache = PointCache.start(pixels / 255, 1.5 + 0.5 * torch.rand(32, 48, generator=generator), torch.eye(4), K,
                             CacheConfig(point_filter=None))  # fmt: skip
    cameras = Cameras(trajectory_c2w("left", 17, 0.5), K.expand(17, 3, 3).contiguous(), 32, 48)
    conditioning = warp_published(cache, Trajectory("left", cameras), pixels / 255)
    assert not conditioning.mask[16].all()
    inputs = published_inputs(conditioning, teacher.config, net, seed=9)

    clip = torch.zeros(1, 3, 17, 32, 48)
    clip[0, :, 0] = pixels / 128 - 1
    first = net.normalize(net.vae.encode(clip).latent_dist.mode())[:, :, :1]
    torch.testing.assert_close(inputs.source, first, atol=1e-5, rtol=1e-5)
    signed = conditioning.warped * 2 - 1
    assert signed.amin() == -1 and signed.movedim(1, -1)[~conditioning.mask].eq(-1).all()
    warped = net.normalize(net.vae.encode(signed.transpose(0, 1)[None]).latent_dist.mode())
    torch.testing.assert_close(inputs.warped[:, 0], warped, atol=1e-5, rtol=1e-5)
    mask = (conditioning.mask.float() * 2 - 1)[:, None].repeat(1, 3, 1, 1)
    mask = net.normalize(net.vae.encode(mask.transpose(0, 1)[None]).latent_dist.mode())
    torch.testing.assert_close(inputs.mask[:, 0], mask, atol=1e-5, rtol=1e-5)
    assert inputs.warped[:, 1].eq(0).all() and inputs.mask[:, 1].eq(0).all()
    assert torch.equal(inputs.noise, frame_noise((1, 4, 3, 4, 6), 9))

    later = warp_published(cache, Trajectory("left", cameras), pixels / 255, from_file=False)
    unscaled = published_inputs(later, teacher.config, net, seed=9).source
    clip[0, :, 0] = pixels / 127.5 - 1
    torch.testing.assert_close(
        unscaled, net.normalize(net.vae.encode(clip[:, :, :1]).latent_dist.mode()), atol=1e-5, rtol=1e-5
    )

    grown = cache.updated(pixels.flip(0) / 255, torch.full((32, 48), 2.0), cameras.c2w[-1], K)
    seen = warp_published(grown, Trajectory("left", cameras), pixels / 255)
    both = published_inputs(seen, teacher.config, net, seed=9)
    old = net.normalize(net.encode(seen.older[0][0].transpose(0, 1)[None]))
    torch.testing.assert_close(both.warped[:, 1], old)
    with pytest.raises(InputError, match="holds 2 sources, the teacher reads 1"):
        published_inputs(seen, replace(TINY, buffers=1), net, seed=9)


def test_every_clip_starts_from_the_same_noise_and_text_takes_part():
    teacher, net = tiny_teacher(), toy_tokenizer()
    K = torch.tensor([[40.0, 0, 24], [0, 40.0, 16], [0, 0, 1]])
    cache = PointCache.start(torch.rand(3, 32, 48), torch.full((32, 48), 2.0), torch.eye(4), K)
    cameras = Cameras(trajectory_c2w("left", 17, 0.1), K.expand(17, 3, 3).contiguous(), 32, 48)
    conditioning = warp_published(cache, Trajectory("left", cameras), torch.rand(3, 32, 48))
    quick, steps, words = PublishedSampling(steps=3), [], torch.randn(2, 6)
    inputs = published_inputs(conditioning, teacher.config, net, seed=4)
    a = imagine_published(inputs, teacher, quick, seed=4, on_step=steps.append)
    assert torch.equal(a, imagine_published(inputs, teacher, quick, seed=4)) and steps == [0, 1, 2]
    assert a.shape == (1, 4, 3, 4, 6) and a.dtype == torch.float32
    assert not torch.equal(a, imagine_published(inputs, teacher, quick, seed=5))
    said = published_inputs(conditioning, teacher.config, net, seed=4, text=words)
    assert torch.equal(said.text, torch.cat([words, torch.zeros(1, 6)])[None])  # zeros take part
    follows, shuns = (imagine_published(said, teacher, quick, 4, negative) for negative in (None, -words))
    assert (a - follows).abs().max() > 1e-3 and (follows - shuns).abs().max() > 1e-3
    for wrong in (torch.zeros(4, 6), torch.zeros(2, 5)):
        with pytest.raises(InputError, match="up to 3 tokens of 6 numbers"):
            published_inputs(conditioning, teacher.config, net, seed=4, text=wrong)
