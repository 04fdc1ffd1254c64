"""EfficientNet-Lite0 without its classifier: the picture at five strides.

Architecture: Tan and Le, "EfficientNet" (ICML 2019), in the Lite variant of the TensorFlow models repository: no
squeeze-and-excitation, ReLU6 instead of SiLU, stem and last stage not scaled. Convolutions pad as TensorFlow's SAME
does, which the published weights were trained with: a stride-2 layer on an even size pads one pixel more at the
bottom and right than at the top and left.
"""

import torch.nn.functional as F
from torch import Tensor, nn

# kernel, stride, expansion, output channels, repeats
STAGES = (
    (3, 1, 1, 16, 1),
    (3, 2, 6, 24, 2),
    (5, 2, 6, 40, 2),
    (3, 2, 6, 80, 3),
    (5, 1, 6, 112, 3),
    (5, 2, 6, 192, 4),
    (3, 1, 6, 320, 1),
)
STEM_CHANNELS = 32
FEATURE_STAGES = (0, 1, 2, 4, 6)
"""Stages whose output is returned: the last one at strides 2, 4, 8, 16 and 32."""
FEATURE_CHANNELS = tuple(STAGES[index][3] for index in FEATURE_STAGES)
BATCHNORM_EPS = 1e-3


def normalisation(channels: int) -> nn.BatchNorm2d:
    """Batch normalisation with the constants of the published weights."""
    return nn.BatchNorm2d(channels, eps=BATCHNORM_EPS, momentum=0.01)


class SameConv2d(nn.Conv2d):
    """Convolution without bias whose output is ``ceil(size / stride)``, padded as TensorFlow's SAME."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> None:
        padding = (kernel - 1) // 2 if stride == 1 else 0
        super().__init__(inputs, outputs, kernel, stride=stride, padding=padding, groups=groups, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, ceil(H / stride), ceil(W / stride)]."""
        stride, kernel = self.stride[0], self.kernel_size[0]
        if stride > 1:
            missing = [max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]]
            before = [amount // 2 for amount in missing]
            x = F.pad(x, (before[1], missing[1] - before[1], before[0], missing[0] - before[0]))
        return super().forward(x)


class InvertedResidual(nn.Module):
    """Expand, filter each channel on its own, project; added to the input where shapes allow."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int, expansion: int) -> None:
        super().__init__()
        hidden = inputs * expansion
        self.expand = (
            nn.Sequential(SameConv2d(inputs, hidden, 1), normalisation(hidden), nn.ReLU6(inplace=True))
            if expansion > 1
            else nn.Identity()
        )
        self.filter = nn.Sequential(
            SameConv2d(hidden, hidden, kernel, stride, groups=hidden), normalisation(hidden), nn.ReLU6(inplace=True)
        )
        self.project = nn.Sequential(SameConv2d(hidden, outputs, 1), normalisation(outputs))
        self.residual = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        """[B, inputs, H, W] to [B, outputs, H / stride, W / stride]."""
        y = self.project(self.filter(self.expand(x)))
        return x + y if self.residual else y


class EfficientNetLite0(nn.Module):
    """The feature pyramid of EfficientNet-Lite0."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            SameConv2d(3, STEM_CHANNELS, 3, stride=2), normalisation(STEM_CHANNELS), nn.ReLU6(inplace=True)
        )
        stages = []
        inputs = STEM_CHANNELS
        for kernel, stride, expansion, outputs, repeats in STAGES:
            blocks = []
            for repeat in range(repeats):
                blocks.append(InvertedResidual(inputs, outputs, kernel, stride if repeat == 0 else 1, expansion))
                inputs = outputs
            stages.append(nn.Sequential(*blocks))
        self.stages = nn.ModuleList(stages)

    def forward(self, rgb: Tensor) -> list[Tensor]:
        """Normalised picture [B, 3, H, W] to features of `FEATURE_CHANNELS` at strides 2, 4, 8, 16 and 32."""
        x = self.stem(rgb)
        features = []
        for index, stage in enumerate(self.stages):
            x = stage(x)
            if index in FEATURE_STAGES:
                features.append(x)
        return features
