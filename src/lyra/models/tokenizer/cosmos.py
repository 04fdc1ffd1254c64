"""The Cosmos video tokenizer (CV8x8x8) of the diffusers library behind our interface."""

from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

from lyra.models.tokenizer.config import CosmosTokenizerConfig
from lyra.models.tokenizer.interface import SIGMA_DATA, Tokenizer
from lyra.structures import InputError


class CosmosTokenizer(Tokenizer):
    """Causal 8x8x8 tokenizer at the size of the published weights, or smaller by its config.

    Its latent statistics are kept per channel and latent frame, [C, P]. At the published size (16 x 16) they start as
    the published values, otherwise as zero and one. A clip has at most 1 + 8 (P - 1) pictures (121); the published
    pipeline codes longer ones in pieces of that length, each on its own.
    """

    name = "cosmos"
    temporal = 8
    spatial = 8

    def __init__(self, config: CosmosTokenizerConfig | None = None) -> None:
        # The library costs seconds to import and is needed by this class alone. Its constants must be real even where
        # this network is built on the meta device.
        with torch.device("cpu"):
            from diffusers import AutoencoderKLCosmos

        config = config or CosmosTokenizerConfig()
        statistics_shape = (config.latent_channels, config.statistics_frames)
        super().__init__(statistics_shape)
        self.config = config
        self.together: int | None = None
        self.channels = config.latent_channels
        self.vae = AutoencoderKLCosmos(
            latent_channels=config.latent_channels,
            encoder_block_out_channels=config.encoder_widths,
            decode_block_out_channels=config.decoder_widths,
            attention_resolutions=(32,),
            resolution=1024,
            num_layers=config.layers,
            patch_size=4,
            patch_type="haar",
            spatial_compression_ratio=8,
            temporal_compression_ratio=8,
        )
        if statistics_shape == (16, 16):
            published = self.vae.config
            self.latent_mean = torch.tensor(published.latents_mean).view(statistics_shape)
            self.latent_std = torch.tensor(published.latents_std).view(statistics_shape)

    def encode(self, video: Tensor) -> Tensor:
        """See ``Tokenizer.encode``; the latents are float32 (or wider), whatever the type of the weights."""
        return self.encode_signed(video * 2 - 1)

    def encode_signed(self, video: Tensor) -> Tensor:
        """See ``Tokenizer.encode_signed``; the clip may lie on another device than the network."""
        self._check_clip(video)
        wide = torch.promote_types(self.vae.dtype, torch.float32)
        if self.together is None:
            return self._encoded(video).to(wide)
        size = self.temporal * self.together
        cuts = list(range(1 + size - self.temporal, video.shape[2], size))  # the first picture has a frame of its own
        with self._streaming():
            return torch.cat([self._encoded(piece).to(wide) for piece in video.tensor_split(cuts, dim=2)], dim=2)

    def _encoded(self, video: Tensor) -> Tensor:
        latent: Tensor = self.vae.encode(video.to(self.latent_mean.device, self.vae.dtype)).latent_dist.mode()
        return latent

    def decode(self, z: Tensor) -> Tensor:
        """See ``Tokenizer.decode``; the clip is float32 (or wider), whatever the type of the weights."""
        return torch.cat(list(self.decode_pieces(z)), dim=2)

    def decode_pieces(self, z: Tensor) -> Iterator[Tensor]:
        """`decode` piece by piece along time, where ``together`` is set, else at once."""
        if z.dim() != 5 or z.shape[1] != self.channels:
            raise InputError(f"{self.name}: latents have shape [B, {self.channels}, t, h, w], got {list(z.shape)}")
        wide = torch.promote_types(self.vae.dtype, torch.float32)
        with self._streaming():
            for piece in z.split(self.together or z.shape[2], dim=2):
                video: Tensor = self.vae.decode(piece.to(self.latent_mean.device, self.vae.dtype)).sample
                yield (video.to(wide) + 1) / 2

    def _streaming(self) -> AbstractContextManager[None]:
        if self.together is None:
            return nullcontext()
        from lyra.models.tokenizer.streaming import streaming

        return streaming(self.vae)

    def unrounded(self, z: Tensor) -> Tensor:
        """See ``Tokenizer.unrounded``."""
        mean, std = super()._statistics(z)
        return self.normalize(z) / SIGMA_DATA * std + mean

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        dtype = getattr(torch, self.config.statistics_dtype)
        mean, std = super()._statistics(z)
        return mean.to(dtype).to(mean), std.to(dtype).to(std)
