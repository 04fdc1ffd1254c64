"""Small untrained networks for pictures of 64 x 96, and a clip to feed them."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from torch.nn import functional as F

from lyra.io import write_video
from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
from lyra.models.depth import DepthConfig, DepthNet
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.tokenizer import NanoTokenizer, NanoTokenizerConfig
from lyra.pipeline import Pipeline
from lyra.preset import Preset


@pytest.fixture(scope="session")
def networks() -> Pipeline:
    """A teacher that returns the cache, and a decoder that lifts pictures."""
    torch.manual_seed(0)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    size = {"width": 16, "context_width": 24, "context_blocks": 1, "context_heads": 2}
    teacher = Teacher(
        TeacherConfig(latent_channels=8, heads=2, head_dim=16, layers=1, text_dim=8, adaln_lora_dim=4, steps=1)
    )
    teacher.start_as_identity()
    decoder = GaussianDecoder(DecoderConfig(
        latent_channels=8, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True, rays="pooled",
        ray_dtype="float32", time_layers=False, guides=True, head="anchored", prune_ratio=0.0, hide_visible=True,
        anchors=(Anchor(0, 1, "first"), Anchor(8, 2), Anchor(16, 2)), feature_channels=8, hidden_channels=8,
    ))  # fmt: skip
    preset = Preset(height=64, width=96)
    return Pipeline(DepthNet(DepthConfig(**size, fine_width=8, refine_width=8)), tokenizer, teacher, decoder, preset)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Writes a video of a square that wanders over a texture, which slides by ``slide`` pixels a frame."""
    folder = tmp_path_factory.mktemp("clips")

    def make(frames: int, slide: float = 0.0, height: int = 64, width: int = 96) -> Path:
        path = folder / f"{frames}-{slide}-{height}.mp4"
        if path.exists():
            return path
        noise = torch.rand(1, 3, height // 4, 64, generator=torch.Generator().manual_seed(1))
        wide = F.interpolate(noise, size=(height, 256), mode="bicubic", align_corners=False)[0].clamp(0, 1)
        pictures = []
        for frame in range(frames):
            start = round(slide * frame)
            picture = wide[:, :, start : start + width].clone()
            picture[:, 20:36, 2 * frame % 60 : 2 * frame % 60 + 16] = torch.tensor([0.9, 0.1, 0.1])[:, None, None]
            pictures.append(picture)
        write_video(path, torch.stack(pictures), 12)
        return path

    return make
