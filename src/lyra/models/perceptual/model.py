"""How different two pictures look, by the features of a classification network.

The distance is that of Zhang et al., "The Unreasonable Effectiveness of Deep Features as a Perceptual Metric" (CVPR
2018): features of unit length, squared differences weighted per channel, averaged over the picture, summed over layers.
The channel weights are the published ones for SqueezeNet, which were fitted to another training of that network. So the
number is called ``lpips_squeeze``, never LPIPS.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.perceptual.backbone import TAP_CHANNELS, SqueezeNet
from lyra.models.perceptual.config import SqueezeConfig

SMALLEST = 32


class SqueezePerceptual(nn.Module):
    """The distance ``lpips_squeeze``; its weights are fixed, gradients flow to the pictures."""

    def __init__(self, config: SqueezeConfig | None = None) -> None:
        super().__init__()
        self.config = config or SqueezeConfig()
        self.backbone = SqueezeNet()
        self.heads = nn.ParameterList(torch.full((channels,), 1 / channels) for channels in TAP_CHANNELS)
        self.requires_grad_(False)

    def features(self, rgb: Tensor) -> list[Tensor]:
        """Seven feature maps of unit length along the channels.

        Args:
            rgb: [N, 3, H, W] float 0..1, at least 32 pixels a side.

        Returns:
            [N, C, h, w] float32 each, C as in ``TAP_CHANNELS``, at strides 2, 4, 8, 16, 16, 16 and 16.

        Raises:
            ValueError: the shape is another one.
        """
        if rgb.ndim != 4 or rgb.shape[1] != 3 or min(rgb.shape[-2:]) < SMALLEST:
            raise ValueError(
                f"SqueezePerceptual: expected [N, 3, H, W] with sides of at least {SMALLEST}, got {list(rgb.shape)}"
            )
        maps = self.backbone(rgb)
        with torch.autocast(rgb.device.type, enabled=False):
            return [self._unit(x.float()) for x in maps]

    def forward(self, a: Tensor, b: Tensor, mask: Tensor | None = None) -> Tensor:
        """Distance of each pair.

        Args:
            a, b: [N, 3, H, W] float 0..1.
            mask: [N, H, W] bool or weights; only these pixels count, at coarse layers by their share of the area.
                The features still see the neighbourhood. A pair whose mask is empty has distance 0.

        Returns:
            [N] float32, 0 for equal pictures.

        Raises:
            ValueError: the shapes differ or are not those of pictures.
        """
        layers = self._layer_distances(a, b)
        if mask is None:
            return torch.stack([layer.mean(dim=(1, 2)) for layer in layers]).sum(dim=0)
        if mask.shape != a[:, 0].shape:
            raise ValueError(f"SqueezePerceptual: expected a mask {list(a[:, 0].shape)}, got {list(mask.shape)}")
        total = layers[0].new_zeros(len(a))
        for layer in layers:
            height, width = layer.shape[-2:]
            weight = F.adaptive_avg_pool2d(mask[:, None].float(), (height, width))[:, 0]
            area = weight.sum(dim=(1, 2))
            total = total + (layer * weight).sum(dim=(1, 2)) / torch.where(area > 0, area, 1.0)
        return total

    def spatial(self, a: Tensor, b: Tensor) -> Tensor:
        """Map of the distance, [N, H, W] float32: the layers' maps, bilinearly enlarged and summed.

        Raises:
            ValueError: the shapes differ or are not those of pictures.
        """
        maps = [
            F.interpolate(layer[:, None], size=a.shape[-2:], mode="bilinear", align_corners=False)
            for layer in self._layer_distances(a, b)
        ]
        return torch.cat(maps, dim=1).sum(dim=1)

    def _unit(self, x: Tensor) -> Tensor:
        return x * (x.square().sum(dim=1, keepdim=True) + self.config.epsilon).rsqrt()

    def _layer_distances(self, a: Tensor, b: Tensor) -> list[Tensor]:
        """[N, h, w] float32 of each layer."""
        if a.shape != b.shape:
            raise ValueError(f"SqueezePerceptual: expected one shape, got {list(a.shape)} and {list(b.shape)}")
        # Two passes, not one over both: the second needs no graph when only the first is trained.
        pairs = zip(self.features(a), self.features(b), self.heads, strict=True)
        with torch.autocast(a.device.type, enabled=False):
            return [torch.einsum("nchw,c->nhw", (x - y).square(), head.float()) for x, y, head in pairs]
