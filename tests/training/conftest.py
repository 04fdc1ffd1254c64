"""Tasks small enough for one core: few textures by formula, tiny networks, pictures of 32 x 64."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import Tensor

from lyra.hub import save_model
from lyra.models.decoder import Anchor, DecoderConfig
from lyra.models.depth import DepthConfig, DepthNet
from lyra.models.teacher import Teacher, TeacherConfig
from lyra.models.text import TextConfig, TextEncoder
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig, NanoTokenizer, NanoTokenizerConfig
from lyra.training import recipes, world_clips
from lyra.training.options import TaskName, TrainOptions
from lyra.training.recipes import DecoderRecipe
from lyra.training.tasks import decoder, depth, frames, teacher, text, tokenizer
from lyra.worlds import Clip, Split, TextureSet, TextureStore, WorldBatch, film, load_textures
from lyra.worlds.captions import known_words

CHANNELS = 8
TOKENIZER = NanoTokenizerConfig(latent_channels=CHANNELS, widths=(16, 32), blocks=(1, 1))
DEPTH = DepthConfig(width=16, context_width=24, context_blocks=1, context_heads=2, fine_width=8, refine_width=8)
TEACHER = TeacherConfig(
    latent_channels=CHANNELS, heads=2, head_dim=16, layers=2, text_dim=8, adaln_lora_dim=4, steps=1, illustrate_steps=1
)  # fmt: skip
TEXT = TextConfig(
    vocabulary=" ".join(known_words()), width=16, blocks=1, heads=2, tokens=4, output=TEACHER.text_dim, buckets=256
)
DECODER = DecoderConfig(
    latent_channels=CHANNELS, width=32, depth=1, heads=2, attention_every=1, zero_init_residual=True, rays="pooled",
    ray_dtype="float32", zero_init_rays=False, time_layers=False, guides=True, head="anchored", prune_ratio=0.0,
    anchors=(Anchor(0, 1, "first"), Anchor(16, 2, "all")), feature_channels=8, hidden_channels=16,
    opacity_start=0.3,  # it must learn to be solid
)  # fmt: skip


def tiny_decoder_recipe(name: str, from_stage: str | None = None) -> DecoderRecipe:
    """The recipe ``name`` with two views, three targets, stages of equal length and the tiny decoder."""
    recipe = recipes.decoder_recipe(name, from_stage)
    small = {"targets": 3, "frames": 17, "steps": 1}
    stages = [replace(stage, views=(1, min(2, stage.views[1])), **small) for stage in recipe.stages]
    return replace(recipe, network=lambda: DECODER, stages=tuple(stages))


def film_in_jumps(
    batch: WorldBatch, store: TextureStore, c2w: Tensor, height: int, width: int, times: Tensor | None = None
) -> Clip:
    """`film` that traces every fourth frame and shows it four times; the last one once."""
    clip = film(batch, store, c2w[:, :, ::4], height, width, None if times is None else times[:, ::4])
    shown = torch.arange(c2w.shape[2]) // 4
    return replace(clip, rgb=clip.rgb[:, :, shown], depth=clip.depth[:, :, shown], sky=clip.sky[:, :, shown])


@pytest.fixture(scope="session")
def few_textures(tmp_path_factory: pytest.TempPathFactory) -> dict[Split, TextureSet]:
    """Eight textures by formula for each split, whatever pack lies around."""
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("LYRA_TEXTURE_PACK", raising=False)
        patch.chdir(tmp_path_factory.mktemp("no_pack"))
        return {split: load_textures(None, split, limit=8) for split in ("train", "val", "test")}


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with untrained networks for the tasks that build on them."""
    folder = tmp_path_factory.mktemp("models")
    torch.manual_seed(0)
    first = Teacher(TEACHER)
    first.start_as_identity()
    coder = NanoTokenizer(TOKENIZER)
    painter = FrameDecoder(FrameDecoderConfig(latent_channels=CHANNELS, widths=(16, 32), blocks=(1, 1)))
    painter.start_from(coder)
    for name, network in {
        "tokenizer/nano": coder,
        "frames/nano": painter,
        "depth/nano": DepthNet(DEPTH),
        "teacher/nano": first,
        "text/nano": TextEncoder(TEXT),
    }.items():
        save_model(network, name, network.config, storage="fp32", weights_dir=folder)
    return folder


@pytest.fixture
def tiny(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, few_textures: dict[Split, TextureSet], tiny_models: Path
) -> Callable[..., TrainOptions]:
    """Make every recipe tiny; returns a function that makes its options."""
    stores = {split: textures.to("cpu") for split, textures in few_textures.items()}
    monkeypatch.setattr(TextureSet, "to", lambda self, device: stores[self.split])
    for module in (tokenizer, depth, teacher, frames, decoder, text):
        monkeypatch.setattr(module, "load_textures", lambda path, split: few_textures[split])
    monkeypatch.setattr(tokenizer, "NanoTokenizerConfig", lambda: TOKENIZER)
    monkeypatch.setattr(depth, "DepthConfig", lambda: DEPTH)
    monkeypatch.setattr(teacher, "TeacherConfig", lambda: TEACHER)
    monkeypatch.setattr(decoder, "decoder_recipe", tiny_decoder_recipe)
    monkeypatch.setattr(text, "TextConfig", lambda vocabulary: replace(TEXT, vocabulary=vocabulary))
    monkeypatch.setattr(text, "TEST_CAPTIONS", 8)
    for module in (tokenizer, world_clips):
        monkeypatch.setattr(module, "film", film_in_jumps)
    for module in (tokenizer, teacher, frames):
        monkeypatch.setattr(module, "WORLDS_PER_REFRESH", 1)
        monkeypatch.setattr(module, "VIEWS_PER_WORLD", 1)
    for module in (teacher, frames):
        monkeypatch.setattr(module, "PHOTO_CLIPS", 1)
    monkeypatch.setattr(decoder, "SCENES_PER_REFRESH", 2)

    def options(task: TaskName, **choices: object) -> TrainOptions:
        sizes = {"batch": 2, "pool": 2, "height": 32, "width": 64, "device": "cpu", "models": tiny_models}
        return TrainOptions(task, **{"out": tmp_path / "run", "log_every": 1, **sizes, **choices})  # type: ignore[arg-type]

    return options
