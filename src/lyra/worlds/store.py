"""Textures on a device, packed for the ray tracer."""

from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

TILE_SIZE = 512
LEVELS = 10
# offsets (in texels) of the mip levels 512, 256, ... 1 inside one tile's record
LEVEL_OFFSETS = tuple(sum((TILE_SIZE >> k) ** 2 for k in range(level)) for level in range(LEVELS))
TILE_TEXELS = sum((TILE_SIZE >> k) ** 2 for k in range(LEVELS))


@dataclass(frozen=True)
class TextureStore:
    """Pictures the tracer reads from.

    A texel is one int32: red in the lowest byte, then green, then blue.

    Attributes:
        tiles: [N * TILE_TEXELS] int32, per tile the mip levels 512², 256², … 1².
        skies: [S * sky_height * sky_width] int32.
        masks: [K * mask_size * mask_size] uint8.
        sky_height, sky_width, mask_size: sizes in pixels.
    """

    tiles: Tensor
    skies: Tensor
    masks: Tensor
    sky_height: int
    sky_width: int
    mask_size: int

    @property
    def device(self) -> torch.device:
        return self.tiles.device

    def to(self, device: torch.device | str) -> "TextureStore":
        return replace(self, tiles=self.tiles.to(device), skies=self.skies.to(device), masks=self.masks.to(device))


def build_store(tiles: np.ndarray, skies: np.ndarray, masks: np.ndarray, device: torch.device) -> TextureStore:
    """Make mip pyramids and pack texels.

    Args:
        tiles: [N, 512, 512, 3] uint8.
        skies: [S, H, W, 3] uint8.
        masks: [K, M, M] uint8.
    """
    count = len(tiles)
    store = torch.empty((count, TILE_TEXELS), dtype=torch.int32, device=device)
    step = 8 if device.type == "cpu" else 64
    for start in range(0, count, step):
        level = torch.from_numpy(np.ascontiguousarray(tiles[start : start + step])).to(device).to(torch.float32)
        size = TILE_SIZE
        for offset in LEVEL_OFFSETS:
            store[start : start + step, offset : offset + size * size] = _pack(level).flatten(1)
            if size > 1:
                level = level.reshape(len(level), size // 2, 2, size // 2, 2, 3).mean((2, 4))
                size //= 2
    return TextureStore(
        tiles=store.flatten(),
        skies=_pack(torch.from_numpy(skies).to(device)).flatten(),
        masks=torch.from_numpy(masks).to(device).flatten(),
        sky_height=skies.shape[1],
        sky_width=skies.shape[2],
        mask_size=masks.shape[1],
    )


def _pack(rgb: Tensor) -> Tensor:
    """[..., 3] values 0…255 → [...] int32."""
    whole = rgb.round().to(torch.int32) if rgb.is_floating_point() else rgb.to(torch.int32)
    return whole[..., 0] | (whole[..., 1] << 8) | (whole[..., 2] << 16)
