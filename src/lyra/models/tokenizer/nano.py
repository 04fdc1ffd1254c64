"""The compact residual tokenizer: a linear space-time code that small residual blocks improve.

    encoder  pixels -patch 4x4x4, linear-> fine cells -3 blocks-> -merge 2x2x2, linear-> coarse cells -4 blocks-> latent
    decoder  the mirror image

Cells are kept as [B, T, H, W, C], so that every linear map is one matrix product and every 3x3 convolution sees a
channels-last picture. The first picture fills a latent frame of its own: it counts ``temporal`` times in front of the
clip. Its copies give equal fine cells, therefore only one of them is computed.
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lyra.models.tokenizer.config import NanoTokenizerConfig
from lyra.models.tokenizer.interface import Tokenizer
from lyra.models.tokenizer.linear_start import frequency_start
from lyra.structures import InputError


class CausalMix(nn.Module):
    """Linear map of a cell and the same cell of the two frames before; the first frame precedes itself."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.linear = nn.Linear(3 * width, width)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, H, W, C] to the same shape."""
        if not torch.is_grad_enabled() and not torch.is_autocast_enabled(x.device.type):
            return self._summed(x)
        first = x[:, :1]
        one_before = torch.cat((first, x[:, :-1]), dim=1)
        two_before = torch.cat((first, one_before[:, :-1]), dim=1)
        return self.linear(torch.cat((x, one_before, two_before), dim=-1))

    def _summed(self, x: Tensor) -> Tensor:
        """The same as a sum of three products; joining the cells takes as long as multiplying them."""
        now, *before = (weight.T for weight in self.linear.weight.chunk(3, dim=1))
        result = torch.empty(x.shape, dtype=x.dtype, device=x.device)
        for clip, target in zip(x.flatten(2, 3), result.flatten(2, 3), strict=True):
            for time, cells in enumerate(target):
                torch.addmm(self.linear.bias, clip[time], now, out=cells)
                for back, weight in enumerate(before, 1):
                    cells.addmm_(clip[max(time - back, 0)], weight)
        return result


class ResidualBlock(nn.Module):
    """x + mix(SiLU(conv(norm(x)))): 3x3 within each frame, then a causal map over time that starts at zero."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm_weight = nn.Parameter(torch.ones(width))
        self.conv = nn.Conv2d(width, width, 3, padding=1)
        self.mix = CausalMix(width)
        nn.init.zeros_(self.mix.linear.weight)
        nn.init.zeros_(self.mix.linear.bias)

    def forward(self, x: Tensor) -> Tensor:
        """[B, T, H, W, C] to the same shape."""
        batch = x.shape[0]
        y = F.rms_norm(x, (x.shape[-1],), self.norm_weight.to(x.dtype), 1e-6)
        y = self.conv(y.flatten(0, 1).permute(0, 3, 1, 2))
        y = F.silu(y).permute(0, 2, 3, 1).unflatten(0, (batch, -1))
        return x + self.mix(y)


class NanoTokenizer(Tokenizer):
    """Compact causal tokenizer, by default 8x8x8 with 64 channels and 5 M parameters.

    The latent of one picture equals the first latent frame of every clip that starts with it.
    """

    name = "nano"

    def __init__(self, config: NanoTokenizerConfig | None = None) -> None:
        config = config or NanoTokenizerConfig()
        super().__init__((config.latent_channels,))
        self.config = config
        self.channels = config.latent_channels
        self.spatial = 2 * config.patch
        self.temporal = config.temporal_merge * config.patch
        fine, coarse = config.widths
        pixels, merged = 3 * config.patch**3, 4 * config.temporal_merge * fine

        self.patch_in = nn.Linear(pixels, fine)
        self.fine_encoder = nn.Sequential(*(ResidualBlock(fine) for _ in range(config.blocks[0])))
        self.merge = nn.Linear(merged, coarse)
        self.coarse_encoder = nn.Sequential(*(ResidualBlock(coarse) for _ in range(config.blocks[1])))
        self.to_latent = nn.Linear(coarse, config.latent_channels)

        self.from_latent = nn.Linear(config.latent_channels, coarse)
        self.coarse_decoder = nn.Sequential(*(ResidualBlock(coarse) for _ in range(config.blocks[1])))
        self.split = nn.Linear(coarse, merged)
        self.fine_decoder = nn.Sequential(*(ResidualBlock(fine) for _ in range(config.blocks[0])))
        self.patch_out = nn.Linear(fine, pixels)
        frequency_start(self)

    def patches(self, video: Tensor) -> Tensor:
        """Cubes of pixels [B, T', H/4, W/4, 192] in -1..1 of a clip [B, 3, T, H, W] in 0..1."""
        patch = self.config.patch
        video = torch.cat((video[:, :, :1].expand(-1, -1, patch - 1, -1, -1), video), dim=2) * 2 - 1
        return rearrange(video, "b c (t i) (h j) (w k) -> b t h w (i j k c)", i=patch, j=patch, k=patch)

    def merged(self, fine: Tensor) -> Tensor:
        """Fine cells [B, T', H', W', C] joined in space and time; the first one fills a latent frame of its own."""
        merge = self.config.temporal_merge
        fine = torch.cat((fine[:, :1].expand(-1, merge - 1, -1, -1, -1), fine), dim=1)
        return rearrange(fine, "b (t i) (h j) (w k) c -> b t h w (i j k c)", i=merge, j=2, k=2)

    def encode(self, video: Tensor) -> Tensor:
        """See ``Tokenizer.encode``."""
        self._check_clip(video)
        x = self.fine_encoder(self.patch_in(self.patches(video)))
        x = self.coarse_encoder(self.merge(self.merged(x)))
        return self.to_latent(x).permute(0, 4, 1, 2, 3)

    def decode(self, z: Tensor) -> Tensor:
        """See ``Tokenizer.decode``."""
        if z.dim() != 5 or z.shape[1] != self.channels:
            raise InputError(f"{self.name}: latents have shape [B, {self.channels}, t, h, w], got {list(z.shape)}")
        patch, merge = self.config.patch, self.config.temporal_merge
        x = self.coarse_decoder(self.from_latent(z.permute(0, 2, 3, 4, 1)))
        x = self.split(x)
        x = rearrange(x, "b t h w (i j k c) -> b (t i) (h j) (w k) c", i=merge, j=2, k=2)[:, merge - 1 :]
        x = self.patch_out(self.fine_decoder(x))
        video = rearrange(x, "b t h w (i j k c) -> b c (t i) (h j) (w k)", i=patch, j=patch, k=patch)
        return (video[:, :, patch - 1 :] + 1) / 2
