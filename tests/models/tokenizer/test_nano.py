"""The compact tokenizer: shapes, causality, its linear start, statistics, and that it can learn."""

import pytest
import torch

from lyra.models.tokenizer import SIGMA_DATA, NanoTokenizer, NanoTokenizerConfig, equalise
from lyra.structures import InputError

SMALL = NanoTokenizerConfig(latent_channels=6, widths=(16, 24), blocks=(1, 2))


def awake(config: NanoTokenizerConfig = SMALL, seed: int = 0) -> NanoTokenizer:
    """A tokenizer whose residual branches are not zero, so that every part takes part."""
    torch.manual_seed(seed)
    net = NanoTokenizer(config).eval()
    with torch.no_grad():
        for name, parameter in net.named_parameters():
            if ".mix." in name:
                parameter.normal_(std=0.2)
    return net


def waves(frames: int, height: int, width: int, amplitude: float = 0.3) -> torch.Tensor:
    """A smooth moving pattern [1, 3, T, H, W] in 0..1."""
    t, y, x = torch.meshgrid(torch.arange(frames), torch.arange(height), torch.arange(width), indexing="ij")
    channels = [0.5 + amplitude * torch.sin(0.12 * x + 0.05 * t + c) * torch.cos(0.1 * y + c) for c in range(3)]
    return torch.stack(channels)[None]


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (9, 2), (17, 3)])
def test_shapes(frames: int, latent_frames: int) -> None:
    net = awake()
    video = torch.rand(2, 3, frames, 16, 24)
    z = net.encode(video)
    assert z.shape == (2, 6, latent_frames, 2, 3)
    assert net.latent_frames(frames) == latent_frames
    assert net.decode(z).shape == video.shape


FOUR = NanoTokenizerConfig(latent_channels=6, widths=(16, 24), blocks=(1, 1), temporal_merge=1)


@pytest.mark.parametrize(("frames", "latent_frames"), [(1, 1), (5, 2), (9, 3), (17, 5)])
@torch.no_grad()
def test_four_times_in_time(frames: int, latent_frames: int) -> None:
    net = awake(FOUR)
    video = torch.rand(1, 3, frames, 16, 24)
    z = net.encode(video)
    assert net.temporal == 4 and net.latent_frames(frames) == latent_frames
    assert z.shape == (1, 6, latent_frames, 2, 3)
    assert net.decode(z).shape == video.shape
    torch.testing.assert_close(net.encode(video[:, :, :1]), z[:, :, :1], rtol=0, atol=1e-6)
    net.set_latent_statistics(z.mean(dim=(0, 2, 3, 4)), z.std(dim=(0, 2, 3, 4)))
    torch.testing.assert_close(net.denormalize(net.normalize(z)), z)
    with pytest.raises(InputError, match="a multiple of 4 pictures"):
        net.encode(torch.rand(1, 3, frames + 2, 16, 24))


@torch.no_grad()
def test_four_times_in_time_is_causal_and_stands_still() -> None:
    net, video = awake(FOUR), torch.rand(1, 3, 17, 16, 16)
    z = net.encode(video)
    later = video.clone()
    later[:, :, 5:] = torch.rand_like(later[:, :, 5:])
    changed = net.encode(later)
    torch.testing.assert_close(changed[:, :, :2], z[:, :, :2], rtol=0, atol=1e-6)
    assert (changed[:, :, 2] - z[:, :, 2]).abs().max() > 1e-2
    decoded, z_later = net.decode(z), z.clone()
    z_later[:, :, 2] += 1
    decoded_later = net.decode(z_later)
    torch.testing.assert_close(decoded_later[:, :, :5], decoded[:, :, :5], rtol=0, atol=1e-6)
    assert (decoded_later[:, :, 5:9] - decoded[:, :, 5:9]).abs().max() > 1e-2
    still = net.encode(video[:, :, :1].expand(-1, -1, 17, -1, -1))
    torch.testing.assert_close(still[:, :, 1:], still[:, :, :1].expand(-1, -1, 4, -1, -1), rtol=0, atol=1e-6)


@torch.no_grad()
def test_the_linear_code_keeps_more_of_what_moves_with_half_the_pictures_per_latent() -> None:
    """Untrained, with as many channels: 4x8x8 halves the error of 8x8x8 where a clip changes fast."""
    t = torch.arange(17)[:, None, None]
    fast = waves(17, 64, 64) * (0.75 + 0.25 * torch.cos(0.9 * t))
    slow = waves(1, 64, 64).expand(-1, -1, 17, -1, -1)

    def error(merge: int, channels: int, video: torch.Tensor) -> float:
        net = NanoTokenizer(NanoTokenizerConfig(latent_channels=channels, temporal_merge=merge)).eval()
        return float((net.decode(net.encode(video)) - video).square().mean())

    assert error(1, 32, fast) < 0.5 * error(2, 32, fast)
    assert error(1, 32, slow) < 1e-3 and error(2, 32, slow) < 1e-3
    assert error(2, 64, fast) < error(2, 32, fast)


def test_default_size() -> None:
    net = NanoTokenizer()
    assert (net.channels, net.temporal, net.spatial) == (64, 8, 8)
    assert 4.5e6 < sum(parameter.numel() for parameter in net.parameters()) < 5.5e6


def test_one_picture_is_the_first_latent_frame() -> None:
    net, video = awake(), torch.rand(2, 3, 17, 24, 16)
    torch.testing.assert_close(net.encode(video[:, :, :1]), net.encode(video)[:, :, :1], rtol=0, atol=1e-6)


@torch.no_grad()
def test_encoder_and_decoder_are_causal() -> None:
    net, video = awake(), torch.rand(1, 3, 17, 16, 16)
    z = net.encode(video)
    later = video.clone()
    later[:, :, 9:] = torch.rand_like(later[:, :, 9:])
    changed = net.encode(later)
    torch.testing.assert_close(changed[:, :, :2], z[:, :, :2], rtol=0, atol=1e-6)
    assert (changed[:, :, 2] - z[:, :, 2]).abs().max() > 1e-2

    decoded = net.decode(z)
    z_later = z.clone()
    z_later[:, :, 2] += 1
    decoded_later = net.decode(z_later)
    torch.testing.assert_close(decoded_later[:, :, :9], decoded[:, :, :9], rtol=0, atol=1e-6)
    assert (decoded_later[:, :, 9:] - decoded[:, :, 9:]).abs().max() > 1e-2


@torch.no_grad()
def test_encoder_equals_the_plain_form_with_seven_copies() -> None:
    """Computing one fine cell for the copies of the first picture must not change the result."""
    net, video = awake(), torch.rand(1, 3, 9, 16, 16)
    long = torch.cat((video[:, :, :1].expand(-1, -1, 7, -1, -1), video), dim=2) * 2 - 1
    batch, channels, frames, height, width = long.shape
    cells = long.reshape(batch, channels, frames // 4, 4, height // 4, 4, width // 4, 4)
    cells = cells.permute(0, 2, 4, 6, 3, 5, 7, 1).reshape(batch, frames // 4, height // 4, width // 4, -1)
    x = net.fine_encoder(net.patch_in(cells))
    batch, frames, height, width, fine = x.shape
    x = x.reshape(batch, frames // 2, 2, height // 2, 2, width // 2, 2, fine).permute(0, 1, 3, 5, 2, 4, 6, 7)
    x = net.to_latent(net.coarse_encoder(net.merge(x.flatten(4))))
    torch.testing.assert_close(net.encode(video), x.permute(0, 4, 1, 2, 3), rtol=0, atol=1e-6)


@torch.no_grad()
def test_a_still_clip_has_equal_latent_frames() -> None:
    net = awake()
    z = net.encode(torch.rand(1, 3, 1, 16, 16).expand(-1, -1, 17, -1, -1))
    torch.testing.assert_close(z[:, :, 1:], z[:, :, :1].expand(-1, -1, 2, -1, -1), rtol=0, atol=1e-6)


@torch.no_grad()
def test_starts_as_a_linear_code_that_keeps_coarse_content() -> None:
    net = NanoTokenizer().eval()
    video = waves(17, 64, 64)
    error = (net.decode(net.encode(video)) - video).square().mean()
    assert -10 * torch.log10(error) > 28
    a, b = torch.rand(1, 3, 9, 16, 16), torch.rand(1, 3, 9, 16, 16)
    torch.testing.assert_close(net.encode((a + b) / 2), (net.encode(a) + net.encode(b)) / 2, rtol=1e-4, atol=1e-5)


def test_every_parameter_learns_after_two_steps() -> None:
    torch.manual_seed(0)
    net = NanoTokenizer(SMALL)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-2)
    video = torch.rand(1, 3, 9, 16, 16)
    for _ in range(2):
        optimizer.zero_grad()
        reconstruction, _ = net(video)
        (reconstruction - video).square().mean().backward()
        optimizer.step()
    silent = [name for name, p in net.named_parameters() if p.grad is None or not bool(p.grad.abs().max() > 0)]
    assert silent == []


def test_bf16_autocast_stays_close() -> None:
    net, video = awake(), waves(9, 16, 16)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        rough = net.decode(net.encode(video)).float()
    with torch.no_grad():
        exact = net.decode(net.encode(video))
    assert (rough - exact).abs().mean() < 0.02 * exact.abs().mean()


def test_normalisation_and_its_inverse() -> None:
    net = awake()
    z = torch.randn(2, 6, 3, 4, 4) * torch.arange(1, 7)[:, None, None, None] + 5
    net.set_latent_statistics(z.mean(dim=(0, 2, 3, 4)), z.std(dim=(0, 2, 3, 4)))
    normalised = net.normalize(z)
    torch.testing.assert_close(normalised.mean(dim=(0, 2, 3, 4)), torch.zeros(6), rtol=0, atol=1e-5)
    torch.testing.assert_close(normalised.std(dim=(0, 2, 3, 4)), torch.full((6,), SIGMA_DATA))
    torch.testing.assert_close(net.denormalize(normalised), z)
    assert {"latent_mean", "latent_std"} <= set(net.state_dict())


@pytest.mark.parametrize(
    ("mean", "std"),
    [(torch.zeros(5), torch.ones(6)), (torch.zeros(6), torch.zeros(6)), (torch.full((6,), torch.nan), torch.ones(6))],
)
def test_bad_statistics_are_refused(mean: torch.Tensor, std: torch.Tensor) -> None:
    with pytest.raises(InputError, match="latent"):
        awake().set_latent_statistics(mean, std)


@pytest.mark.parametrize("shape", [(1, 3, 16, 16, 16), (1, 3, 17, 20, 16), (3, 17, 16, 16), (1, 4, 17, 16, 16)])
def test_bad_clips_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(InputError, match="nano"):
        awake().encode(torch.zeros(shape))


def test_bad_latents_are_refused() -> None:
    with pytest.raises(InputError, match="latents have shape"):
        awake().decode(torch.zeros(1, 5, 3, 2, 2))


def test_equalise_keeps_the_function_and_gives_unit_channels():
    torch.manual_seed(0)
    clip = torch.rand(2, 3, 9, 32, 32).cumsum(-1).cumsum(-2)
    clip = clip / clip.amax()
    tokenizer = NanoTokenizer().eval()
    with torch.no_grad():
        before = tokenizer.decode(tokenizer.encode(clip))
        equalise(tokenizer, clip)
        z = tokenizer.encode(clip)
        assert torch.allclose(tokenizer.decode(z), before, atol=2e-5)
        loud = z.square().mean(dim=(0, 2, 3, 4)).sqrt()
        assert ((loud > 0.99) & (loud < 1.01)).sum() >= 3 and loud.max() < 1.01
        tokenizer.fine_encoder[0].mix.linear.weight[0, 0] = 1.0
    with pytest.raises(ValueError, match="fresh tokenizer"):
        equalise(tokenizer, clip)


@pytest.mark.parametrize("frames", [1, 9, 17])
def test_without_gradients_the_mix_over_time_is_a_sum_of_products(frames: int) -> None:
    """The two ways to compute it agree: joined cells where gradients or bfloat16 are wanted, sums elsewhere."""
    net, video = awake(), torch.rand(2, 3, frames, 24, 16)
    z = net.encode(video)
    assert z.requires_grad
    with torch.no_grad():
        torch.testing.assert_close(net.encode(video), z.detach(), rtol=0, atol=2e-6)
        torch.testing.assert_close(net.decode(z), net.decode(z.requires_grad_()).detach(), rtol=0, atol=2e-6)
