"""The head of the small decoder: residuals on frames that were lifted by their depth."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.geometry.quaternions import quaternion_from_rotation, quaternion_product
from lyra.models.decoder.config import Anchor, DecoderConfig, anchor_frames
from lyra.models.decoder.gaussian_batch import GaussianBatch
from lyra.models.decoder.head_official import CHANNELS
from lyra.models.decoder.inputs import DecoderInputs
from lyra.models.decoder.rays import grid_rays
from lyra.nn import full_precision

FEATURE_STRIDE = 2
"""Pixels per feature cell along each side."""

GUIDE_CHANNELS = 6
"""Colour, log depth, visibility, depth edge."""

COLOR_LEAK = 0.05
"""Slope of the colour outside 0…1: the gradient finds its way back."""


class AnchoredHead(nn.Module):
    """Tokens, pictures and depth of the anchor frames to Gaussians.

    Before training the residuals are zero: each Gaussian stands at the unprojected depth of its cell with the
    mean colour of its cell. With ``hide_visible`` the Gaussians of later frames fade by how much of their cell the
    cache shows: what the first picture shows, the first picture carries. Output order: anchors in the order of the
    config, inside each views, rows, columns.
    """

    def __init__(self, config: DecoderConfig) -> None:
        super().__init__()
        self.config = config
        cells = config.cell // FEATURE_STRIDE
        self.norm = nn.LayerNorm(config.width, eps=1e-6)
        self.spread = nn.Linear(config.width, config.feature_channels * cells**2)
        hidden = config.hidden_channels
        strides = sorted({anchor.stride for anchor in config.anchors})
        self.refine = nn.ModuleDict(
            {
                str(stride): nn.Sequential(
                    nn.Conv2d(config.feature_channels + GUIDE_CHANNELS, hidden, 3, padding=1),
                    nn.SiLU(),
                    nn.Conv2d(hidden, hidden, 3, padding=1),
                    nn.SiLU(),
                    nn.Conv2d(hidden, sum(CHANNELS), 1),
                )
                for stride in strides
            }
        )

    def zero_init(self) -> None:
        """Start with residuals of zero."""
        for layers in self.refine.values():
            *_, last = layers.children()
            assert isinstance(last, nn.Conv2d) and last.bias is not None
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)

    def forward(self, tokens: Tensor, inputs: DecoderInputs) -> GaussianBatch:
        """Tokens [B, V, t, rows, columns, D] to the Gaussians of all anchors.

        Raises:
            InputError: pictures, depth or visibility of the anchor frames are missing.
        """
        rgb, depth, visible = inputs.require("rgb", "depth", "visible", reason="its Gaussians stand on lifted frames")
        anchors = inputs.placed(self.config)
        frames = anchor_frames(anchors)
        parts = []
        for anchor in anchors:
            slot = frames.index(anchor.frame)
            views = 1 if anchor.views == "first" else tokens.shape[1]
            guides = anchor_guides(
                rgb[:, :views, slot], depth[:, :views, slot], visible[:, :views, slot], anchor.stride, self.config
            )
            residual = self._residual(tokens[:, :views, self.config.latent_frame(anchor.frame)], guides, anchor.stride)
            c2w = inputs.c2w[:, :views, anchor.frame]
            parts.append(self._activate(residual, guides, c2w, inputs.K[:, :views], anchor, inputs))
        return GaussianBatch.concatenate(parts)

    def _residual(self, tokens: Tensor, guides: Tensor, stride: int) -> Tensor:
        """Tokens [B, V, rows, columns, D] and guides [B, V, 6, h, w] to raw channels [B, V, 12, h, w]."""
        cells = self.config.cell // FEATURE_STRIDE
        features = self.spread(self.norm(tokens)).flatten(0, 1).permute(0, 3, 1, 2)
        features = F.pixel_shuffle(features, cells)
        if stride < FEATURE_STRIDE:
            features = F.interpolate(features, scale_factor=FEATURE_STRIDE // stride, mode="bilinear")
        elif stride > FEATURE_STRIDE:
            features = F.avg_pool2d(features, stride // FEATURE_STRIDE)
        stacked = torch.cat([features, guides.flatten(0, 1).to(features.dtype)], dim=1)
        stacked = stacked.contiguous(memory_format=torch.channels_last)  # twice as fast on CPUs
        return self.refine[str(stride)](stacked).unflatten(0, tokens.shape[:2])

    def _activate(
        self, residual: Tensor, guides: Tensor, c2w: Tensor, K: Tensor, anchor: Anchor, inputs: DecoderInputs
    ) -> GaussianBatch:
        """Residuals [B, V, 12, h, w] on guides [B, V, 6, h, w] to B x V h w Gaussians, in float32."""
        config = self.config
        with full_precision(residual.device):
            distance, rgb, scale, rotation, opacity = (
                part.movedim(2, -1) for part in residual.to(guides.dtype).split(CHANNELS, dim=2)
            )
            origins, directions = (
                part[:, :, 0].movedim(2, -1)
                for part in grid_rays(c2w[:, :, None], K, inputs.height, inputs.width, anchor.stride)
            )
            depth = guides[:, :, 3, ..., None].exp()
            optical_axis = c2w[:, :, None, None, :3, 2]
            length = depth / (directions * optical_axis).sum(-1, keepdim=True)
            length = length * torch.exp(bounded(distance, config.distance_limit))
            focal = torch.sqrt(K[..., 0, 0] * K[..., 1, 1])[:, :, None, None, None]
            footprint = depth * (anchor.stride * config.footprint) / focal
            identity = torch.eye(1, 4, dtype=rotation.dtype, device=rotation.device)[0]
            camera = quaternion_from_rotation(c2w[..., :3, :3])[:, :, None, None]
            opacity_bias = math.log(config.opacity_start / (1 - config.opacity_start))
            footprint = footprint / anchor.sharpness
            opacity = 1 - torch.sigmoid(-opacity - opacity_bias) ** anchor.solidity
            if config.hide_visible and anchor.frame > 0:
                opacity = opacity * (1 - guides[:, :, 4, ..., None])
            color = guides[:, :, :3].movedim(2, -1) + bounded(rgb, config.color_limit)
            return GaussianBatch(
                means=(origins + length * directions).flatten(1, 3),
                quats=quaternion_product(camera, F.normalize(identity + rotation, dim=-1)).flatten(1, 3),
                scales=(footprint * torch.exp(bounded(scale, config.scale_limit))).flatten(1, 3),
                opacities=opacity[..., 0].flatten(1, 3),
                colors=soft_clamp(color).flatten(1, 3),
            )


def bounded(x: Tensor, limit: float) -> Tensor:
    """x near zero, never beyond ±limit, with a gradient everywhere."""
    return limit * torch.tanh(x / limit)


def soft_clamp(color: Tensor) -> Tensor:
    """Exact inside 0…1, slope ``COLOR_LEAK`` outside."""
    inside = color.clamp(0, 1)
    return inside + COLOR_LEAK * (color - inside)


def anchor_guides(rgb: Tensor, depth: Tensor, visible: Tensor, stride: int, config: DecoderConfig) -> Tensor:
    """What is known of each cell of an anchor frame.

    Args:
        rgb: [B, V, 3, H, W].
        depth, visible: [B, V, H, W].
        stride: side of a cell in pixels.
        config: depth range and edge gap.

    Returns:
        [B, V, 6, H / stride, W / stride] float32: mean colour 0…1, log depth of the cell, mean visibility, and
        the largest log-depth range (at most 1) of the 3 x 3 neighbourhoods in the cell.
    """
    outer = depth.shape[:2]
    rgb, depth, visible = (part.flatten(0, 1).float() for part in (rgb, depth, visible))
    log_depth = depth.clamp(config.depth_near, config.depth_far).log()[:, None]
    edge = F.max_pool2d(log_depth, 3, 1, 1) + F.max_pool2d(-log_depth, 3, 1, 1)
    guides = torch.cat(
        [
            F.avg_pool2d(rgb.clamp(0, 1), stride),
            cell_log_depth(log_depth, stride, config.edge_gap),
            F.avg_pool2d(visible[:, None], stride),
            F.max_pool2d(edge, stride).clamp(max=1),
        ],
        dim=1,
    )
    return guides.unflatten(0, outer)


def cell_log_depth(log_depth: Tensor, stride: int, edge_gap: float) -> Tensor:
    """Median log depth of cells, never a mean across an edge: [M, 1, H, W] to [M, 1, H / stride, W / stride].

    An even number of samples has two middle ones: their mean where they lie within ``edge_gap``, else the nearer.
    """
    if stride == 1:
        return log_depth
    cells = F.pixel_unshuffle(log_depth, stride).sort(dim=1).values
    near, far = cells[:, stride**2 // 2 - 1, None], cells[:, stride**2 // 2, None]
    return torch.where(far - near < edge_gap, (near + far) / 2, near)
