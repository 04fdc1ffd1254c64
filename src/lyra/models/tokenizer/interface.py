"""What every tokenizer offers: encode, decode, compression ratios and latent statistics."""

import torch
from torch import Tensor, nn

from lyra.structures import InputError

SIGMA_DATA = 0.5
"""Standard deviation of normalised latents, the value the teacher's preconditioning expects."""


class Tokenizer(nn.Module):
    """Base class of the tokenizers.

    Both directions are causal: latent frame 0 depends on picture 0 alone, latent frame i on the pictures up to
    i * temporal, and the decoder likewise. T pictures become t = 1 + (T - 1) / temporal latent frames.

    Attributes:
        name: short name, stored beside latents so that they are decoded by the tokenizer that made them.
        channels: latent channels C.
        temporal: pictures per latent frame after the first.
        spatial: pixels per latent cell along height and width.
        latent_mean: [C] or [C, P] buffer, mean of raw latents; with P, one value per latent frame up to P frames.
        latent_std: the matching standard deviation.
    """

    name: str
    channels: int
    temporal: int
    spatial: int
    latent_mean: Tensor
    latent_std: Tensor

    def __init__(self, statistics_shape: tuple[int, ...]) -> None:
        super().__init__()
        self.register_buffer("latent_mean", torch.zeros(statistics_shape))
        self.register_buffer("latent_std", torch.ones(statistics_shape))

    def encode(self, video: Tensor) -> Tensor:
        """Raw latents [B, C, t, H/spatial, W/spatial] of a clip [B, 3, T, H, W] in 0..1.

        Raises:
            InputError: T is not 1 + a multiple of ``temporal``, or H or W not a multiple of ``spatial``.
        """
        raise TypeError(f"{type(self).__name__} does not define encode")

    def encode_signed(self, video: Tensor) -> Tensor:
        """Raw latents of a clip [B, 3, T, H, W] whose values are meant for -1..1 (they may lie outside)."""
        return self.encode((video.to(torch.promote_types(video.dtype, torch.float32)) + 1) / 2)

    def decode(self, z: Tensor) -> Tensor:
        """Clip [B, 3, T, H, W] of raw latents [B, C, t, h, w]; 0..1 up to reconstruction error, not clamped."""
        raise TypeError(f"{type(self).__name__} does not define decode")

    def forward(self, video: Tensor) -> tuple[Tensor, Tensor]:
        """Reconstruction [B, 3, T, H, W] and raw latents of a clip: what training needs in one call."""
        z = self.encode(video)
        return self.decode(z), z

    def latent_frames(self, frames: int) -> int:
        """Latent frames t of a clip of ``frames`` pictures."""
        return 1 + (frames - 1) // self.temporal

    def normalize(self, z: Tensor) -> Tensor:
        """Raw latents [B, C, t, h, w] to zero mean and standard deviation ``SIGMA_DATA`` per channel."""
        mean, std = self._statistics(z)
        return (z - mean) / std * SIGMA_DATA

    def denormalize(self, z: Tensor) -> Tensor:
        """Inverse of ``normalize``."""
        mean, std = self._statistics(z)
        return z / SIGMA_DATA * std + mean

    def unrounded(self, z: Tensor) -> Tensor:
        """Raw latents that `denormalize` made, as they would be with statistics of full precision."""
        return z

    def set_latent_statistics(self, mean: Tensor, std: Tensor) -> None:
        """Store measured mean and standard deviation of raw latents.

        Raises:
            InputError: a shape differs from that of the buffers, or the deviation is not positive everywhere.
        """
        for field, value in (("mean", mean), ("std", std)):
            if value.shape != self.latent_mean.shape:
                raise InputError(
                    f"latent {field}: expected shape {list(self.latent_mean.shape)}, got {list(value.shape)}"
                )
        if not bool(((std > 0) & std.isfinite() & mean.isfinite()).all()):
            raise InputError("latent statistics: need finite means and positive deviations; measure them on more clips")
        with torch.no_grad():
            self.latent_mean.copy_(mean)
            self.latent_std.copy_(std)

    def _statistics(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self.latent_mean.dim() == 1:
            return self.latent_mean[:, None, None, None], self.latent_std[:, None, None, None]
        frames = z.shape[2]
        if frames > self.latent_mean.shape[1]:
            raise InputError(
                f"{self.name}: statistics cover {self.latent_mean.shape[1]} latent frames, the clip has {frames}; "
                "split it into shorter clips"
            )
        return self.latent_mean[:, :frames, None, None], self.latent_std[:, :frames, None, None]

    def _check_clip(self, video: Tensor) -> None:
        if video.dim() != 5 or video.shape[1] != 3:
            raise InputError(f"{self.name}: a clip has shape [B, 3, T, H, W], got {list(video.shape)}")
        frames, height, width = video.shape[2:]
        if (frames - 1) % self.temporal or height % self.spatial or width % self.spatial:
            raise InputError(
                f"{self.name}: needs 1 + a multiple of {self.temporal} pictures and sides divisible by {self.spatial}, "
                f"got {frames} pictures of {height}x{width}; trim and resize the clip"
            )
