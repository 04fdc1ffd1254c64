"""A network that makes frames and the critic that judges them, trained by one optimiser in one pass."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from lyra.models.perceptual import SqueezePerceptual
from lyra.models.tokenizer import FrameDecoder, FrameDecoderConfig
from lyra.training.adversary import Adversary


@dataclass(frozen=True)
class Verdict:
    """What one pass gives.

    Attributes:
        rgb: [B, T, 3, H, W] frames of the decoder.
        real, imagined: the critic's scores of true frames and of the decoder's, which is not held to account for them.
        judged: the same scores of the decoder's frames, which move the decoder and not the critic.
    """

    rgb: Tensor
    real: list[Tensor]
    imagined: list[Tensor]
    judged: list[Tensor]


class Contest(nn.Module):
    """The frame decoder and its critic. Everything that has gradients happens in ``forward``, as processes need it."""

    def __init__(self, decoder: FrameDecoder, features: SqueezePerceptual) -> None:
        super().__init__()
        self.decoder = decoder
        self.adversary = Adversary(features)

    @property
    def config(self) -> FrameDecoderConfig:
        """Of the decoder, which is what is kept."""
        return self.decoder.config

    def forward(self, z: Tensor, warped: Tensor, mask: Tensor, truth: Tensor, picked: Tensor) -> Verdict:
        """Decode B clips and judge the frames ``picked`` [N] of the B * T; other arguments as `FrameDecoder.forward`.

        Args:
            z, warped, mask: what the decoder is told.
            truth: [B, T, 3, H, W] true frames.
            picked: indices of the frames that are judged.
        """
        rgb = self.decoder(z, warped, mask).float()
        made, true = rgb.flatten(0, 1)[picked], truth.flatten(0, 1)[picked]
        visible = mask.flatten(0, 1)[picked].float()
        real = self.adversary(true, visible)
        imagined = self.adversary(made.detach(), visible)
        return Verdict(rgb, real, imagined, self.adversary.frozen(made, visible))


def blended_direction(wanted: Tensor, judged: Tensor, frames: Tensor, share: float | Tensor) -> Tensor:
    """The gradient of a reconstruction loss and of a deception loss with respect to the frames, in a fixed proportion.

    Both are losses of ``frames`` (which stays in the graph). The second is scaled to ``share`` of the first one's
    length, after the adaptive weight of Esser et al., "Taming Transformers" (CVPR 2021, equation 7), taken at the
    frames instead of the last layer.

    Returns:
        [like frames] the direction; ``(frames * direction).sum()`` has it as its gradient.
    """
    (first,) = torch.autograd.grad(wanted, frames, retain_graph=True)
    (second,) = torch.autograd.grad(judged, frames, retain_graph=True)
    scale = share * first.norm() / second.norm().clamp(min=1e-12)
    return (first + scale * second).detach()
