"""Give every cell of the linear start unit size without changing what the tokenizer computes.

Natural pictures put a hundred times more power into a block's mean than into its fine detail. The residual blocks
normalise whole cells, so they would see the mean and little else, and steps of one size would wreck the detail.
"""

import torch
from einops import rearrange
from torch import Tensor

from lyra.models.tokenizer.nano import NanoTokenizer, ResidualBlock

SMALLEST = 1e-3
"""Channels quieter than this are treated as if they were this loud."""


@torch.no_grad()
def equalise(tokenizer: NanoTokenizer, video: Tensor) -> None:
    """Rescale the linear maps so that each channel between two of them has unit root mean square on ``video``.

    The product of the linear maps stays what it is. Residual branches must still be zero (a fresh tokenizer).

    Args:
        tokenizer: changed in place.
        video: [B, 3, T, H, W] 0…1, typical clips.

    Raises:
        ValueError: a residual branch is no longer zero, so that rescaling would change the function.
    """
    branches = [m.mix.linear for m in tokenizer.modules() if isinstance(m, ResidualBlock)]
    if any(bool(branch.weight.any()) or bool(branch.bias.any()) for branch in branches):
        raise ValueError("equalise: the residual branches are trained already; equalise a fresh tokenizer")
    merge = tokenizer.config.temporal_merge
    cells = 4 * merge
    fine = tokenizer.patch_in(tokenizer.patches(video))
    coarse = tokenizer.merge(tokenizer.merged(fine))
    latent = tokenizer.to_latent(coarse)
    back = tokenizer.from_latent(latent)
    finer = rearrange(tokenizer.split(back), "b t h w (i j k c) -> b (t i) (h j) (w k) c", i=merge, j=2, k=2)
    fine_size, coarse_size, latent_size, back_size, finer_size = (
        x.square().mean(dim=(0, 1, 2, 3)).sqrt().clamp(min=SMALLEST) for x in (fine, coarse, latent, back, finer)
    )
    _rescale(tokenizer.patch_in, None, fine_size)
    _rescale(tokenizer.merge, fine_size.repeat(cells), coarse_size)
    _rescale(tokenizer.to_latent, coarse_size, latent_size)
    _rescale(tokenizer.from_latent, latent_size, back_size)
    _rescale(tokenizer.split, back_size, finer_size.repeat(cells))
    _rescale(tokenizer.patch_out, finer_size, None)


def _rescale(linear: torch.nn.Linear, inputs: Tensor | None, outputs: Tensor | None) -> None:
    """Let ``linear`` take inputs divided by ``inputs`` and return outputs divided by ``outputs``."""
    if inputs is not None:
        linear.weight.mul_(inputs[None])
    if outputs is not None:
        linear.weight.div_(outputs[:, None])
        linear.bias.div_(outputs)
