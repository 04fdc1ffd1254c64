"""What the teacher is conditioned on, batched."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.models.teacher.config import TeacherConfig


@dataclass(frozen=True)
class TeacherInputs:
    """Conditioning of B clips, in the tokenizer's normalised space.

    Attributes:
        source: [B, C, 1, h, w] latent of the clean first frame, ``None`` where it is to be imagined too.
        warped: [B, N, C, t, h, w] latents of the N warped buffers.
        mask: [B, N, M, t, h, w] their validity masks, -1 (hole) to 1 (visible).
        text: [B, L, D] text tokens, ``None`` for no text; all zero is the null text.
        text_mask: [B, L] bool, the tokens that count, ``None`` for all. A row without any is the null text.
    """

    source: Tensor | None
    warped: Tensor
    mask: Tensor
    text: Tensor | None = None
    text_mask: Tensor | None = None

    def items(self, chosen: slice) -> "TeacherInputs":
        """Some of the B clips."""
        parts = (self.source, self.warped, self.mask, self.text, self.text_mask)
        return TeacherInputs(*(None if part is None else part[chosen] for part in parts))  # type: ignore[arg-type]


def empty_cache(
    like: Tensor, config: TeacherConfig, text: Tensor | None = None, text_mask: Tensor | None = None
) -> TeacherInputs:
    """Conditioning of B clips of which nothing is known but the text: no first frame, no warped pixel, masks all hole.

    Args:
        like: [B, C, t, h, w] latents of the wanted shape, device and type.
        config: of the teacher.
        text, text_mask: as in `TeacherInputs`.
    """
    batch, channels, *shape = like.shape
    warped = like.new_zeros(batch, config.buffers, channels, *shape)
    mask = like.new_full((batch, config.buffers, config.mask_channels, *shape), -1.0)
    return TeacherInputs(None, warped, mask, text, text_mask)


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
