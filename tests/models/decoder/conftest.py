import pytest
import torch

from lyra.geometry.cameras import look_at
from lyra.models.decoder import Anchor, DecoderConfig, DecoderInputs, GaussianDecoder, nano


def small_official(**changes):
    """The official decoder with small widths; every 2nd block is attention."""
    numbers = dict(
        latent_channels=4, width=16, depth=4, heads=2, attention_every=2, ssm_state=8, ssm_head=8, ssm_chunk=16,
        ray_channels=6, ray_dtype="float32", prune_ratio=0.0,
    )  # fmt: skip
    return DecoderConfig(**numbers | changes)


def small_nano(**changes):
    """The nano decoder with small widths."""
    numbers = vars(nano()) | dict(latent_channels=4, width=24, depth=2, heads=2, feature_channels=4, hidden_channels=8)
    return DecoderConfig(**numbers | changes)


def make_inputs(config, batch=1, views=2, height=32, width=48, frames=None, seed=0, dtype=torch.float32):
    """Random inputs; cameras stand around the origin and look at a point ahead, all different."""
    generator = torch.Generator().manual_seed(seed)
    frames = frames or (17 if config.anchors else 9)
    latent_frames = (frames - 1) // 8 + 1
    grid = (latent_frames, height // 8, width // 8)

    def normal(*shape):
        return torch.randn(*shape, generator=generator, dtype=dtype)

    def uniform(*shape):
        return torch.rand(*shape, generator=generator)

    c2w = look_at(uniform(batch, views, frames, 3) - 0.5, torch.tensor([0.1, -0.2, 4.0]))
    K = torch.tensor([[40.0, 0, width / 2 - 1], [0, 42.0, height / 2 + 1], [0, 0, 1]]).repeat(batch, views, 1, 1)
    anchors = len(config.anchor_frames)
    return DecoderInputs(
        latents=normal(batch, views, config.latent_channels, *grid),
        c2w=c2w,
        K=K,
        height=height,
        width=width,
        plucker=normal(batch, views, config.ray_channels, *grid) if config.rays == "latents" else None,
        time_latents=normal(batch, config.latent_channels, latent_frames + 1, *grid[1:]) if config.use_time else None,
        rgb=uniform(batch, views, anchors, 3, height, width) if anchors else None,
        depth=0.5 + 3 * uniform(batch, views, anchors, height, width) if anchors else None,
        visible=uniform(batch, views, anchors, height, width).round() if anchors else None,
    )


def make_decoder(config, seed=0, random_weights=False):
    torch.manual_seed(seed)
    decoder = GaussianDecoder(config)
    if random_weights:
        generator = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            for parameter in decoder.parameters():
                parameter.add_(0.1 * torch.randn(parameter.shape, generator=generator, dtype=parameter.dtype))
    return decoder


@pytest.fixture
def build():
    """Namespace of the builders above, for tests in other files of this folder."""

    class Build:
        official_config = staticmethod(small_official)
        nano_config = staticmethod(small_nano)
        inputs = staticmethod(make_inputs)
        decoder = staticmethod(make_decoder)
        anchor = Anchor

    return Build
