"""What the teacher is conditioned on, batched."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class TeacherInputs:
    """Conditioning of B clips, in the tokenizer's normalised space.

    Attributes:
        source: [B, C, 1, h, w] latent of the clean first frame.
        warped: [B, N, C, t, h, w] latents of the N warped buffers.
        mask: [B, N, M, t, h, w] their validity masks, -1 (hole) to 1 (visible).
        text: [B, L, D] text embedding, ``None`` for no text.
    """

    source: Tensor
    warped: Tensor
    mask: Tensor
    text: Tensor | None = None


def pool_mask(mask: Tensor, temporal: int = 8, spatial: int = 8) -> Tensor:
    """Bring visibility masks to the latent grid without a tokenizer.

    Frame 0 fills its latent frame by repetition; latent frame g >= 1 holds frames ``temporal*(g-1)+1 … temporal*g``,
    one channel each, averaged over ``spatial`` x ``spatial`` pixels.

    Args:
        mask: [B, T, H, W] bool or float 0…1, with T = temporal * k + 1.

    Returns:
        [B, temporal, k + 1, H / spatial, W / spatial] float, -1…1.
    """
    pooled = F.avg_pool2d(mask.float(), spatial)
    pooled = torch.cat([pooled[:, :1].expand(-1, temporal - 1, -1, -1), pooled], dim=1)
    return pooled.unflatten(1, (-1, temporal)).transpose(1, 2) * 2 - 1
