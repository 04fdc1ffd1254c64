"""Latents become pixels: the teacher's RGB, which the student learns from and the scene's gaps are covered with."""

import torch
from torch import Tensor

from lyra.models.tokenizer import FrameDecoder, Tokenizer
from lyra.nn import reduced_precision, side_by_side


@torch.no_grad()
def decode_frames(
    z: Tensor,
    warped: Tensor,
    mask: Tensor,
    tokenizer: Tokenizer,
    frame_decoder: FrameDecoder | None = None,
    together: int = 1,
    exact: bool = False,
) -> Tensor:
    """Frames of B imagined clips.

    Args:
        z: [B, C, t, h, w] raw latents.
        warped: [B, T, 3, H, W] the caches they were imagined from, 0…1.
        mask: [B, T, H, W] bool, what of the caches is visible.
        tokenizer: whose space the latents are in.
        frame_decoder: decodes with the caches at hand; ``None`` for the tokenizer's own decoder, which needs none.
        together: clips that are one batch.
        exact: compute in float32 where bfloat16 would be faster (`lyra.nn.reduced_precision`).

    Returns:
        [B, T, 3, H, W] 0…1.
    """
    batches = list(zip(z.split(together), warped.split(together), mask.split(together), strict=True))

    def decoded(index: int) -> Tensor:
        one, shown, seen = batches[index]
        with reduced_precision(z.device, exact):
            told = tokenizer.decode(one).transpose(1, 2) if frame_decoder is None else frame_decoder(one, shown, seen)
        return told.float().clamp_(0, 1)

    return torch.cat(side_by_side(decoded, len(batches), z.device))
