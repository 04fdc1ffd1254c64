"""Two text-to-image pipelines of different classes, tiny and random, as folders on disk."""

from pathlib import Path

import pytest
import torch

pytest.importorskip("transformers")


def stable_diffusion(folder: Path) -> None:
    """A convolutional network that reads CLIP tokens."""
    from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
    from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

    words = [
        "<|startoftext|>",
        "<|endoftext|>",
        *[c + end for c in "abcdefghijklmnopqrstuvwxyz" for end in ("", "</w>")],
    ]
    StableDiffusionPipeline(
        vae=autoencoder(AutoencoderKL),
        text_encoder=CLIPTextModel(
            CLIPTextConfig(
                vocab_size=len(words), hidden_size=16, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
                bos_token_id=0, eos_token_id=1, pad_token_id=1,
            )
        ),
        tokenizer=CLIPTokenizer({word: row for row, word in enumerate(words)}, [], model_max_length=77),
        unet=UNet2DConditionModel(
            sample_size=16, block_out_channels=(8, 8), layers_per_block=1, cross_attention_dim=16, attention_head_dim=4,
            norm_num_groups=4, down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
            up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        ),
        scheduler=DDIMScheduler(), safety_checker=None, feature_extractor=None, requires_safety_checker=False,
    ).save_pretrained(folder)  # fmt: skip


def pixart(folder: Path) -> None:
    """A transformer that reads T5 tokens."""
    from diffusers import AutoencoderKL, DPMSolverMultistepScheduler, PixArtAlphaPipeline, PixArtTransformer2DModel
    from transformers import T5Config, T5EncoderModel, T5Tokenizer

    letters = [(letter, -3.0) for letter in "▁abcdefghijklmnopqrstuvwxyz"]
    PixArtAlphaPipeline(
        vae=autoencoder(AutoencoderKL),
        text_encoder=T5EncoderModel(T5Config(vocab_size=64, d_model=16, d_ff=16, d_kv=8, num_layers=1, num_heads=2)),
        tokenizer=T5Tokenizer(
            [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", -9.0), *letters], extra_ids=0, model_max_length=32
        ),
        transformer=PixArtTransformer2DModel(
            sample_size=32, num_layers=1, attention_head_dim=8, num_attention_heads=2, caption_channels=16,
            cross_attention_dim=16, use_additional_conditions=False,
        ),
        scheduler=DPMSolverMultistepScheduler(),
    ).save_pretrained(folder)  # fmt: skip


def autoencoder(kind: type) -> torch.nn.Module:
    """Two pixels per cell."""
    return kind(
        block_out_channels=(8, 8), norm_num_groups=4, latent_channels=4,
        down_block_types=("DownEncoderBlock2D",) * 2, up_block_types=("UpDecoderBlock2D",) * 2,
    )  # fmt: skip


@pytest.fixture(scope="session")
def pipelines(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Folder by name of the class."""
    root = tmp_path_factory.mktemp("pipelines")
    torch.manual_seed(0)
    folders = {"StableDiffusionPipeline": root / "stable", "PixArtAlphaPipeline": root / "pixart"}
    stable_diffusion(folders["StableDiffusionPipeline"])
    pixart(folders["PixArtAlphaPipeline"])
    (root / "stable" / "README.md").write_text("---\nlicense: openrail\ntags: [tiny]\n---\n# Tiny\n")
    (root / "pixart" / "LICENSE").write_text("\n  MIT License\n\nCopyright nobody\n")
    return folders
