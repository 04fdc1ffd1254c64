"""A critic that tells imagined frames from true ones by the features of a fixed classification network.

After Sauer et al., "Projected GANs Converge Faster" (NeurIPS 2021) and "Adversarial Diffusion Distillation" (ECCV
2024): only small heads on fixed features learn, so the critic stays stable and learns in minutes. Hinge loss.
"""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lyra.models.perceptual import SqueezePerceptual

TAPS = (1, 2, 4)
"""Feature maps that are judged: 128, 256 and 384 channels at strides 4, 8 and 16."""
SLOPE = 0.2


class Adversary(nn.Module):
    """Heads on the feature maps ``TAPS``; each sees what the 3D cache showed, so that it knows where to look.

    Args:
        features: the fixed network, shared with the perceptual loss; it is not part of this module's state.
        width: channels inside a head.
    """

    def __init__(self, features: SqueezePerceptual, width: int = 64) -> None:
        super().__init__()
        self._features = [features]  # in a list: neither trained nor saved with the heads
        channels = [features.heads[tap].numel() for tap in TAPS]
        self.heads = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(count + 1, width, 1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(width, width, 3, padding=1),
                nn.LeakyReLU(SLOPE),
                nn.Conv2d(width, 1, 3, padding=1),
            )
            for count in channels
        )

    def forward(self, frames: Tensor, visible: Tensor) -> list[Tensor]:
        """How true each place looks.

        Args:
            frames: [N, 3, H, W] 0…1.
            visible: [N, H, W] float 0…1, what the 3D cache showed.

        Returns:
            [N, h, w] float32 for each tap, positive for true.
        """
        maps = self._features[0].features(frames)
        scores = []
        with torch.autocast(frames.device.type, enabled=False):
            for tap, head in zip(TAPS, self.heads, strict=True):
                # unit vectors of C channels: bring the entries to the size the heads' start expects
                x = maps[tap] * maps[tap].shape[1] ** 0.5
                height, width = x.shape[-2:]
                shown = F.adaptive_avg_pool2d(visible[:, None].float(), (height, width))
                scores.append(head(torch.cat([x, shown], dim=1))[:, 0])
        return scores

    def frozen(self, frames: Tensor, visible: Tensor) -> list[Tensor]:
        """``forward`` without a gradient to the heads: what the imagining network is judged by."""
        fixed = {name: parameter.detach() for name, parameter in self.named_parameters()}
        scores: list[Tensor] = torch.func.functional_call(self, fixed, (frames, visible))
        return scores


def critic_loss(real: list[Tensor], imagined: list[Tensor], weights: Tensor) -> Tensor:
    """Hinge loss of the critic: true places above 1, imagined ones below -1.

    Args:
        real, imagined: scores [N, h, w] of each tap.
        weights: [N, H, W] how much each pixel counts; brought to the size of each map.
    """
    losses = [_mean(F.relu(1 - r) + F.relu(1 + i), weights) for r, i in zip(real, imagined, strict=True)]
    return torch.stack(losses).mean()


def deception_loss(imagined: list[Tensor], weights: Tensor) -> Tensor:
    """Loss of the imagining network: low where the critic takes its pixels for true. Arguments as `critic_loss`."""
    return torch.stack([_mean(-i, weights) for i in imagined]).mean()


def _mean(values: Tensor, weights: Tensor) -> Tensor:
    height, width = values.shape[-2:]
    shares = F.adaptive_avg_pool2d(weights[:, None].float(), (height, width))[:, 0]
    return (values * shares).sum() / shares.sum().clamp(min=1e-6)
