"""The published head: one transposed convolution, then fixed activations."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.decoder.config import DecoderConfig
from lyra.models.decoder.gaussian_batch import GaussianBatch
from lyra.models.decoder.inputs import DecoderInputs
from lyra.models.decoder.rays import grid_rays
from lyra.nn import full_precision

CHANNELS = (1, 3, 3, 4, 1)
"""Raw channels in order: distance, rgb, scale, rotation, opacity."""


def activate(raw: Tensor, origins: Tensor, directions: Tensor, config: DecoderConfig) -> GaussianBatch:
    """Raw channels to Gaussians by the published formulas.

    Args:
        raw: [B, N, 12].
        origins, directions: [B, N, 3], one ray per Gaussian; its length is measured along ``directions``.
        config: ranges and shifts.
    """
    distance, rgb, scale, rotation, opacity = raw.split(CHANNELS, dim=-1)
    far_share = torch.sigmoid(distance + config.distance_shift)
    length = config.distance_near * (1 - far_share) + config.distance_far * far_share
    return GaussianBatch(
        means=origins + length * directions,
        quats=F.normalize(rotation, dim=-1),
        scales=torch.exp(scale - (config.scale_shift - math.log(config.scale_cap))).clamp(max=config.scale_cap),
        opacities=torch.sigmoid(opacity + config.opacity_shift)[..., 0],
        colors=0.5 * torch.tanh(rgb) + 0.5,
    )


class OfficialHead(nn.Module):
    """Tokens to one Gaussian per frame and ``output_factor`` pixels; activations run in float32.

    Output order: views, then frames, rows, columns.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        frames, rows, columns = config.output_factor
        if rows != columns:
            raise ValueError(f"output_factor {config.output_factor}: rows and columns must have the same factor")
        stride = (config.temporal // frames, config.cell // rows, config.cell // columns)
        self.config = config
        self.deconv = nn.ConvTranspose3d(
            config.width,
            sum(CHANNELS),
            kernel_size=(stride[0] + 1, stride[1], stride[2]),
            stride=stride,
            padding=(config.temporal // 2, 0, 0),
        )

    def forward(self, tokens: Tensor, inputs: DecoderInputs) -> GaussianBatch:
        """Tokens [B, V, t, rows, columns, D] to B x V T H/8 W/8 Gaussians (at the official output factor)."""
        config = self.config
        batch, views = tokens.shape[:2]
        raw = self.deconv(tokens.flatten(0, 1).permute(0, 4, 1, 2, 3))
        with full_precision(raw.device):
            dtype = torch.promote_types(raw.dtype, torch.float32)
            raw = raw.to(dtype).unflatten(0, (batch, views)).movedim(2, -1).flatten(1, 4)
            origins, directions = (
                part.to(dtype).movedim(3, -1).flatten(1, 4)
                for part in grid_rays(
                    inputs.c2w,
                    inputs.K,
                    inputs.height,
                    inputs.width,
                    config.output_factor[1],
                    getattr(torch, config.ray_dtype),
                )
            )
            return activate(raw, origins, directions, config)
