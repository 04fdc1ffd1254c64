"""SqueezeNet v1.1 without its classifier, at the seven places that LPIPS compares.

Architecture: Iandola et al., "SqueezeNet" (2016), version 1.1. Pooling rounds sizes up, as in the network's training.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FIRES = ((16, 128), (16, 128), (32, 256), (32, 256), (48, 384), (48, 384), (64, 512), (64, 512))
"""Squeezed and expanded channels of each fire module."""
POOL_BEFORE = (0, 2, 4)
"""Fire modules that are preceded by a pooling."""
TAPS_AFTER = (1, 3, 4, 5, 6, 7)
"""Fire modules whose output is compared; the first convolution's is too."""
STEM_CHANNELS = 64
TAP_CHANNELS = (STEM_CHANNELS, *(FIRES[index][1] for index in TAPS_AFTER))
RGB_MEAN = (123.0, 117.0, 104.0)
"""Subtracted from 8-bit values."""


class Fire(nn.Module):
    """Squeeze to few channels, expand by 1x1 and by 3x3 convolutions side by side."""

    def __init__(self, inputs: int, squeezed: int, outputs: int) -> None:
        super().__init__()
        self.squeeze = nn.Conv2d(inputs, squeezed, 1)
        self.expand1x1 = nn.Conv2d(squeezed, outputs // 2, 1)
        self.expand3x3 = nn.Conv2d(squeezed, outputs // 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """[N, inputs, H, W] to [N, outputs, H, W], not negative."""
        x = F.relu(self.squeeze(x))
        return F.relu(torch.cat([self.expand1x1(x), self.expand3x3(x)], dim=1))


class SqueezeNet(nn.Module):
    """Features of SqueezeNet v1.1."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, STEM_CHANNELS, 3, stride=2)
        inputs = (STEM_CHANNELS, *(outputs for _, outputs in FIRES))
        self.fires = nn.ModuleList(Fire(inputs[index], *sizes) for index, sizes in enumerate(FIRES))

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Picture [N, 3, H, W], 0..1, to seven feature maps of `TAP_CHANNELS`, not negative, at strides 2 to 16."""
        # filled on the device: a copy from the host would wait for it, and could not be recorded
        mean = torch.stack([rgb.new_full((1, 1), value) for value in RGB_MEAN])
        x = F.relu(self.stem(rgb * 255 - mean))
        taps = [x]
        for index, fire in enumerate(self.fires):
            if index in POOL_BEFORE:
                x = F.max_pool2d(x, 3, stride=2, ceil_mode=True)
            x = fire(x)
            if index in TAPS_AFTER:
                taps.append(x)
        return taps
