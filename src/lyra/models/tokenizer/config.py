"""Sizes of the tokenizers."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class NanoTokenizerConfig:
    """Sizes of the compact residual tokenizer.

    Attributes:
        latent_channels: channels C of the latent.
        widths: channels of the fine level (one cell per patch) and of the coarse level (one cell per latent cell).
        blocks: residual blocks of the fine and of the coarse level, in the encoder and again in the decoder.
        patch: edge of the space-time cube of pixels that becomes one cell of the fine level.
        temporal_merge: fine cells merged in time into one latent frame; in space it is always 2 x 2.
    """

    latent_channels: int = 64
    widths: tuple[int, int] = (128, 192)
    blocks: tuple[int, int] = (3, 4)
    patch: int = 4
    temporal_merge: int = 2


@dataclass(frozen=True)
class FrameDecoderConfig:
    """Sizes of the decoder that is told the 3D cache; the names mean what they do in `NanoTokenizerConfig`.

    Attributes:
        calm_from: pixels farther than this from everything that the cache shows are averaged over a latent cell, for
            networks whose training was too short to draw there without a pattern; 0 leaves all as it is drawn.
    """

    latent_channels: int = 64
    widths: tuple[int, int] = (128, 192)
    blocks: tuple[int, int] = (4, 4)
    patch: int = 4
    temporal_merge: int = 2
    calm_from: int = 0


@dataclass(frozen=True)
class CosmosTokenizerConfig:
    """Sizes of the Cosmos tokenizer; the defaults are those of the published CV8x8x8-720p weights.

    Attributes:
        latent_channels: channels C of the latent.
        encoder_widths: encoder channels, fine to coarse. Four entries are needed for 8x8x8: with three the decoder
            loses its only up-sampling stage without complaint.
        decoder_widths: decoder channels, in the same order.
        layers: residual blocks per encoder level (the decoder has one more).
        statistics_frames: latent frames for which mean and standard deviation are kept.
        statistics_dtype: precision that mean and standard deviation are rounded to on the way to and from the teacher;
            the published one rounds them to bfloat16, but not on the way to the 3D decoder.
    """

    latent_channels: int = 16
    encoder_widths: tuple[int, ...] = (128, 256, 512, 512)
    decoder_widths: tuple[int, ...] = (256, 512, 512, 512)
    layers: int = 2
    statistics_frames: int = 16
    statistics_dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        for field in ("encoder_widths", "decoder_widths"):
            if len(getattr(self, field)) != 4:
                raise ValueError(f"CosmosTokenizerConfig.{field}: 8x8x8 needs 4 widths, got {getattr(self, field)}")
