"""Networks that know nothing yet."""

from collections.abc import Callable

import pytest
import torch

from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
from lyra.models.depth import DepthConfig, DepthNet
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.pipeline import Pipeline


def _untrained() -> Pipeline:
    """A tokenizer that starts as a linear code, a teacher that returns the warp, a decoder that lifts the photo."""
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(widths=(16, 32), blocks=(1, 1)))
    size = {"width": 16, "context_width": 24, "context_blocks": 1, "context_heads": 2}
    depth_net = DepthNet(DepthConfig(**size, fine_width=8, refine_width=8))
    channels = tokenizer.channels
    teacher = Teacher(TeacherConfig(latent_channels=channels, heads=2, head_dim=16, layers=1, text_dim=8, steps=1))
    teacher.start_as_identity()
    decoder = GaussianDecoder(DecoderConfig(
        latent_channels=channels, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True,
        rays="pooled", ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")), feature_channels=8, hidden_channels=8,
    ))  # fmt: skip
    return Pipeline(depth_net, tokenizer, teacher, decoder)


@pytest.fixture(scope="session")
def untrained() -> Callable[[], Pipeline]:
    """Makes a pipeline of small untrained networks."""
    return _untrained
