"""What the scores of the teacher and of the frame decoder are measured on."""

from typing import NamedTuple

import torch
from torch import Tensor

from lyra.models.depth import DepthNet
from lyra.training.device_data import PathBank
from lyra.training.world_clips import world_clips
from lyra.training.world_feed import WorldFeed
from lyra.worlds import TextureSet

SEED = 11


class UnseenClips(NamedTuple):
    """B clips of T frames that no training sees, their caches built from predicted depth.

    Attributes:
        truth: [B, T, 3, H, W] 0…1.
        warped: [B, T, 3, H, W] the caches, holes filled and edges drawn.
        mask: [B, T, H, W] bool, what of the caches is visible.
    """

    truth: Tensor
    warped: Tensor
    mask: Tensor


@torch.no_grad()
def unseen_clips(
    textures: TextureSet, worlds: int, paths: PathBank, size: tuple[int, int], net: DepthNet
) -> UnseenClips:
    """The first worlds of a split, each along one path; torch's generator is seeded, so that they never change.

    Args:
        textures: of the split.
        worlds: how many.
        paths: to draw from.
        size: height and width.
        net: predicts the depth.
    """
    device = next(net.parameters()).device
    feed, store = WorldFeed(textures, textures.split, worlds, 0, device, 0), textures.to(device)
    torch.manual_seed(SEED)
    everything = torch.ones(worlds, dtype=torch.bool, device=device)
    return UnseenClips(*world_clips(feed.next(), store, paths.draw(worlds, 1), *size, net, everything))
