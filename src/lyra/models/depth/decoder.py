"""From the encoder's pyramid to depth, sky and focal length.

The shape follows the dense prediction head of Ranftl et al., "Vision Transformers for Dense Prediction" (ICCV 2021):
coarse features are upsampled and fused with the next finer ones by residual units. Tokens at stride 32 attend to each
other first, so that every pixel knows the whole picture.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.depth.config import DepthConfig
from lyra.models.depth.encoder import FEATURE_CHANNELS


def double(x: Tensor) -> Tensor:
    """Bilinear upsampling of [B, C, H, W] by two."""
    return F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)


class ResidualUnit(nn.Module):
    """Two normalised 3x3 convolutions added to their input."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(8, channels),
            nn.ReLU(),
            nn.Conv2d(channels, channels, 3, padding=1),
        )

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        return x + self.layers(x)


class ContextBlock(nn.Module):
    """One transformer block over the tokens of the coarsest map; a depthwise convolution tells neighbours apart."""

    def __init__(self, channels: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.position = nn.Conv2d(channels, channels, 3, padding=1, groups=channels)
        self.attention_norm = nn.LayerNorm(channels)
        self.query_key_value = nn.Linear(channels, 3 * channels)
        self.attention_output = nn.Linear(channels, channels)
        self.mlp_norm = nn.LayerNorm(channels)
        self.mlp = nn.Sequential(nn.Linear(channels, 2 * channels), nn.GELU(), nn.Linear(2 * channels, channels))

    def forward(self, x: Tensor) -> Tensor:
        """[B, C, H, W] to the same shape."""
        height, width = x.shape[-2:]
        tokens = (x + self.position(x)).flatten(2).mT
        query_key_value = self.query_key_value(self.attention_norm(tokens)).unflatten(2, (3, self.heads, -1))
        query, key, value = query_key_value.permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        tokens = tokens + self.attention_output(attended)
        tokens = tokens + self.mlp(self.mlp_norm(tokens))
        return tokens.mT.unflatten(2, (height, width))


class GlobalContext(nn.Module):
    """Coarsest features, told where they are and what else the picture holds."""

    def __init__(self, inputs: int, channels: int, blocks: int, heads: int) -> None:
        super().__init__()
        self.project = nn.Conv2d(inputs + 2, channels, 1)
        self.blocks = nn.Sequential(*[ContextBlock(channels, heads) for _ in range(blocks)])
        self.summary = nn.Sequential(nn.LayerNorm(channels), nn.Linear(channels, channels), nn.GELU())
        self.broadcast = nn.Linear(channels, channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """[B, inputs, h, w] to tokens [B, C, h, w], the summary broadcast back, and the summary [B, C]."""
        height, width = x.shape[-2:]
        longest = max(height, width)
        y = (torch.arange(height, device=x.device, dtype=x.dtype) + 0.5 - height / 2) * (2 / longest)
        x_axis = (torch.arange(width, device=x.device, dtype=x.dtype) + 0.5 - width / 2) * (2 / longest)
        place = torch.stack(torch.meshgrid(y, x_axis, indexing="ij")).expand(len(x), -1, -1, -1)
        tokens = self.blocks(self.project(torch.cat([x, place], dim=1)))
        summary = self.summary(tokens.mean(dim=(2, 3)))
        return tokens + self.broadcast(summary)[:, :, None, None], summary


class FusionStage(nn.Module):
    """Coarse features doubled in size and fused with the encoder's at that size."""

    def __init__(self, coarse: int, skip: int, channels: int) -> None:
        super().__init__()
        self.reduce = nn.Conv2d(coarse, channels, 1) if coarse != channels else nn.Identity()
        self.lateral = nn.Conv2d(skip, channels, 1)
        self.skip_unit = ResidualUnit(channels)
        self.fused_unit = ResidualUnit(channels)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """Coarse [B, coarse, h, w] and skip [B, skip, 2h, 2w] to [B, channels, 2h, 2w]."""
        return self.fused_unit(double(self.reduce(x)) + self.skip_unit(self.lateral(skip)))


class DepthDecoder(nn.Module):
    """Feature pyramid and picture to per-pixel log depth and sky logit, and one focal length."""

    def __init__(self, config: DepthConfig) -> None:
        super().__init__()
        stride2, stride4, stride8, stride16, stride32 = FEATURE_CHANNELS
        width, fine, refine = config.width, config.fine_width, config.refine_width
        self.context = GlobalContext(stride32, config.context_width, config.context_blocks, config.context_heads)
        self.fuse16 = FusionStage(config.context_width, stride16, width)
        self.fuse8 = FusionStage(width, stride8, width)
        self.fuse4 = FusionStage(width, stride4, width)
        self.fine = nn.Sequential(
            nn.Conv2d(width + stride2, fine, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(fine, fine, 3, padding=1),
            nn.ReLU(),
        )
        self.coarse_output = nn.Conv2d(fine, 2, 1)
        self.guide = nn.Conv2d(fine, refine, 1)
        self.refine = nn.Sequential(
            nn.Conv2d(refine + 2 + 3, refine, 3, padding=1),
            nn.ReLU(),
            nn.Conv2d(refine, refine, 3, padding=1),
            nn.ReLU(),
        )
        self.fine_output = nn.Conv2d(refine, 2, 3, padding=1)
        focal_output = nn.Linear(64, 1)
        self.focal = nn.Sequential(nn.Linear(config.context_width, 64), nn.GELU(), focal_output)
        # The refinement starts as nothing, the focal length as the long side of the picture.
        for parameter in (*self.fine_output.parameters(), *focal_output.parameters()):
            nn.init.zeros_(parameter)

    def forward(self, features: list[Tensor], rgb: Tensor) -> tuple[Tensor, Tensor]:
        """Combine the pyramid with the picture.

        Args:
            features: the encoder's maps at strides 2, 4, 8, 16 and 32.
            rgb: [B, 3, H, W], normalised.

        Returns:
            [B, 2, H, W] float32, log depth and sky logit; [B] float32, log of focal length over the long side.
        """
        stride2, stride4, stride8, stride16, stride32 = features
        x, summary = self.context(stride32)
        x = self.fuse4(self.fuse8(self.fuse16(x, stride16), stride8), stride4)
        x = self.fine(torch.cat([double(x), stride2], dim=1))
        focal = self.focal(summary)
        # Log depth needs more than the eight bits that bfloat16 has, so the last layers leave autocast.
        with torch.autocast(x.device.type, enabled=False):
            coarse = double(self.coarse_output(x.float()))
        guided = torch.cat([double(self.guide(x)), coarse.to(x.dtype), rgb.to(x.dtype)], dim=1)
        refined = self.refine(guided)
        with torch.autocast(x.device.type, enabled=False):
            maps = coarse + self.fine_output(refined.float())
        return maps, focal.float()[:, 0]
