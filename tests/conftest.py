"""Shared by the tests of every room: quiet threads, the root of the repository, a pipeline without networks."""

import os
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from lyra.models.tokenizer.config import NanoTokenizerConfig
from lyra.structures import Cameras, Conditioning, Frames, Gaussians, Latents, Scene, Views

# Tests are small; more threads than cores only make them wait for each other.
torch.set_num_threads(min(torch.get_num_threads(), os.cpu_count() or 1))


@pytest.fixture(scope="session")
def repository() -> Path:
    """Root of the repository."""
    return Path(__file__).resolve().parents[1]


class _Flat(nn.Module):
    """Stands where a network stands; has one parameter, so that it has a device."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1))
        self.config = SimpleNamespace(steps=1, text=True, illustrates=True, text_dim=384)


@pytest.fixture
def quick_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real pipeline: it reads, plans, warps, renders and writes; only the stages with networks are fakes."""
    from lyra import pipeline

    def perceive(frames: Frames, *_: object) -> Views:
        size = (1, frames.height, frames.width)
        K = torch.tensor([[[400.0, 0, frames.width / 2], [0, 400.0, frames.height / 2], [0, 0, 1]]])
        cameras = Cameras(torch.eye(4)[None], K, frames.height, frames.width)
        return Views(frames, torch.ones(size), torch.ones(size, dtype=torch.bool), cameras)

    def imagine(caches: tuple[Conditioning, ...], *_: object, **__: object) -> Latents:
        return Latents(
            torch.zeros(len(caches), NanoTokenizerConfig().latent_channels, 3, 32, 56),
            tuple(c.trajectory for c in caches),
            "nano",
        )

    def imagine_frames(self: object, latents: Latents, *_: object) -> torch.Tensor:
        cameras = latents.trajectories[0].cameras
        return torch.zeros(len(latents.z), len(cameras), 3, cameras.height, cameras.width)

    def decode(views: Views, *_: object) -> Scene:
        count = 5
        means = torch.cat([torch.linspace(-0.2, 0.2, count)[:, None], torch.zeros(count, 1), torch.ones(count, 1)], 1)
        quats = torch.tensor([[1.0, 0, 0, 0]]).repeat(count, 1)
        scales, opacities = torch.full((count, 3), 0.05), torch.full((count,), 0.9)
        return Scene((Gaussians(means, quats, scales, opacities, torch.rand(count, 3)),), views.cameras)

    def cover(scene: Scene, *_: object) -> Scene:
        return scene

    def load(device: str = "auto") -> pipeline.Pipeline:
        return pipeline.Pipeline(_Flat(), _Flat(), _Flat(), _Flat())  # type: ignore[arg-type]

    monkeypatch.setattr(pipeline, "perceive", perceive)
    monkeypatch.setattr(pipeline, "imagine", imagine)
    monkeypatch.setattr(pipeline, "decode", decode)
    monkeypatch.setattr(pipeline, "cover", cover)
    monkeypatch.setattr(pipeline.Pipeline, "imagine_frames", imagine_frames)
    monkeypatch.setattr(pipeline.Pipeline, "load", staticmethod(load))


@pytest.fixture(scope="session")
def tiny_weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A weights folder for ``LYRA_WEIGHTS_DIR``: the four networks of the road, tiny and untrained."""
    from lyra.hub import save_model
    from lyra.models.decoder import Anchor, DecoderConfig, GaussianDecoder
    from lyra.models.depth import DepthConfig, DepthNet
    from lyra.models.teacher import Teacher, TeacherConfig
    from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig, NanoTokenizer

    folder = tmp_path_factory.mktemp("tiny_weights")
    torch.manual_seed(0)
    teacher = Teacher(
        TeacherConfig(latent_channels=8, heads=2, head_dim=16, layers=1, text_dim=8, adaln_lora_dim=4, steps=1)
    )
    teacher.start_as_identity()
    decoder = DecoderConfig(
        latent_channels=8, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True, rays="pooled",
        ray_dtype="float32", zero_init_rays=False, time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
        anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")), feature_channels=8, hidden_channels=16,
    )  # fmt: skip
    depth = DepthConfig(width=16, context_width=24, context_blocks=1, context_heads=2, fine_width=8, refine_width=8)
    tokenizer = NanoTokenizer(NanoTokenizerConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    frame_decoder = FrameDecoder(FrameDecoderConfig(latent_channels=8, widths=(16, 32), blocks=(1, 1)))
    frame_decoder.start_from(tokenizer)
    for name, network in {
        "tokenizer/nano": tokenizer,
        "frames/nano": frame_decoder,
        "depth/nano": DepthNet(depth),
        "teacher/nano": teacher,
        "decoder/nano": GaussianDecoder(decoder),
    }.items():
        save_model(network, name, network.config, storage="fp32", weights_dir=folder)
    return folder
