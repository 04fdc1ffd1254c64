"""From latents to pixels with the 3D cache at hand: the decoder half that knows what the photo showed.

A latent of 8 x 8 x 8 pixels cannot hold the finest texture, but most of that texture is in the photo, and the warped
cache shows where it goes. The asymmetric decoder of Zhu et al., "Designing a Better Asymmetric VQGAN for
StableDiffusion" (arXiv 2306.04632), hands the known pixels to the decoder of an inpainting model; this is the same
idea for clips. Beside the plain decoder's road, the cache enters at its fine level, and the output is mixed pixel by
pixel with the cache, by weights that the network chooses:

    rgb = plain + gate * (warped - plain)
"""

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn

from lyra.models.tokenizer.config import FrameDecoderConfig
from lyra.models.tokenizer.nano import NanoTokenizer, ResidualBlock
from lyra.structures import InputError

SOFT = 5
"""Pixels over which the averaging sets in."""
FIRST_GATE = -2.0
"""Untrained, the cache has this much of a say in every pixel (before the sigmoid)."""


class FrameDecoder(nn.Module):
    """Decodes latents of the nano tokenizer into frames, told the warped cache and its visibility."""

    def __init__(self, config: FrameDecoderConfig | None = None) -> None:
        super().__init__()
        self.config = config = config or FrameDecoderConfig()
        fine, coarse = config.widths
        cube = config.patch**3
        self.from_latent = nn.Linear(config.latent_channels, coarse)
        self.coarse_decoder = nn.Sequential(*(ResidualBlock(coarse) for _ in range(config.blocks[1])))
        self.split = nn.Linear(coarse, 4 * config.temporal_merge * fine)
        self.cache_in = nn.Linear(4 * cube, fine)
        self.fine_decoder = nn.Sequential(*(ResidualBlock(fine) for _ in range(config.blocks[0])))
        self.patch_out = nn.Linear(fine, 3 * cube)
        self.gate_out = nn.Linear(fine, cube)
        nn.init.zeros_(self.cache_in.weight)
        nn.init.zeros_(self.cache_in.bias)
        nn.init.zeros_(self.gate_out.weight)
        nn.init.constant_(self.gate_out.bias, FIRST_GATE)

    def start_from(self, tokenizer: NanoTokenizer) -> None:
        """Take the weights of the tokenizer's own decoder; further fine blocks start as identities.

        Raises:
            InputError: the tokenizer has other sizes.
        """
        theirs, own = tokenizer.state_dict(), self.state_dict()
        shared = {name: value for name, value in theirs.items() if name in own}
        if any(own[name].shape != value.shape for name, value in shared.items()) or "patch_out.weight" not in shared:
            raise InputError("the frame decoder has other sizes than the tokenizer; give it the tokenizer's widths")
        self.load_state_dict(own | shared)

    def _cubes(self, warped: Tensor, mask: Tensor) -> Tensor:
        """[B, T', H/4, W/4, 256] of the cache: cubes of 4 x 4 x 4 pixels in -1…1; the first frame fills one alone."""
        patch = self.config.patch
        batch, frames, _, height, width = warped.shape
        video = warped.new_empty(batch, patch - 1 + frames, 4, height, width)
        own = video[:, patch - 1 :]
        own[:, :, :3], own[:, :, 3] = warped, mask
        own.mul_(2).sub_(1)
        video[:, : patch - 1] = own[:, :1]
        return rearrange(video, "b (t i) c (h j) (w k) -> b t h w (i j k c)", i=patch, j=patch, k=patch)

    def _frames(self, cubes: Tensor) -> Tensor:
        """Inverse of `_cubes`."""
        patch = self.config.patch
        video = rearrange(cubes, "b t h w (i j k c) -> b (t i) c (h j) (w k)", i=patch, j=patch, k=patch)
        return video[:, patch - 1 :]

    def forward(self, z: Tensor, warped: Tensor, mask: Tensor) -> Tensor:
        """Frames of B clips.

        Args:
            z: [B, C, t, h, w] raw latents.
            warped: [B, T, 3, H, W] warped cache 0…1, holes filled.
            mask: [B, T, H, W] what of it is visible, bool or 0…1.

        Returns:
            [B, T, 3, H, W] 0…1 up to reconstruction error, not clamped.

        Raises:
            InputError: shapes that do not belong together.
        """
        config = self.config
        stride, length = 2 * config.patch, config.temporal_merge * config.patch
        expected = (len(z), length * (z.shape[2] - 1) + 1, stride * z.shape[3], stride * z.shape[4])
        if mask.shape != expected or warped.shape != (*expected[:2], 3, *expected[2:]):
            raise InputError(
                f"frame decoder: latents {list(z.shape)} need a mask {list(expected)} and a cache of that size, "
                f"got {list(mask.shape)} and {list(warped.shape)}"
            )
        merge = config.temporal_merge
        x = self.split(self.coarse_decoder(self.from_latent(z.permute(0, 2, 3, 4, 1))))
        x = rearrange(x, "b t h w (i j k c) -> b (t i) (h j) (w k) c", i=merge, j=2, k=2)[:, merge - 1 :]
        told = self._cubes(warped, mask)
        x = self.fine_decoder(x + self.cache_in(told.to(x.dtype)))
        plain, gate = self._frames(self.patch_out(x)), self._frames(torch.sigmoid(self.gate_out(x)))
        plain = (plain + 1) / 2
        drawn = plain + gate * (warped.to(plain.dtype) - plain)
        if config.calm_from == 0 or self.training:
            return drawn
        return _calmed(drawn, mask, config.calm_from, stride)


def _calmed(frames: Tensor, mask: Tensor, reach: int, cell: int) -> Tensor:
    """Frames [B, T, 3, H, W], averaged over ``cell`` pixels where a mask [B, T, H, W] is empty within ``reach``."""
    flat = frames.flatten(0, 1)
    near = mask.flatten(0, 1)[:, None].to(flat.dtype)
    for side, margin in (((1, 2 * reach + 1), (0, reach)), ((2 * reach + 1, 1), (reach, 0))):
        near = F.max_pool2d(near, side, 1, margin)  # a square is its rows, then its columns
    share = 1 - _mean(near, SOFT)
    return (flat + share * (_mean(flat, cell) - flat)).unflatten(0, frames.shape[:2])


def _mean(pictures: Tensor, width: int) -> Tensor:
    """Mean of [N, c, H, W] over squares of ``width`` pixels, the border repeated."""
    before, after = width // 2, (width - 1) // 2
    padded = F.pad(pictures, (before, after, before, after), mode="replicate")
    return F.avg_pool2d(F.avg_pool2d(padded, (1, width), 1), (width, 1), 1)
