"""What the teacher is given to imagine from: first pictures of worlds, and photographs."""

import torch
from torch import Tensor

from lyra.training.device_data import PhotoTiles, random_intrinsics
from lyra.training.world_feed import WorldFeed
from lyra.worlds import TextureStore, film_source
from lyra.worlds.photographic import degrade, develop, draw_looks


def first_pictures(
    feed: WorldFeed, store: TextureStore, photos: PhotoTiles, count: int, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """Pictures [B, 3, H, W] 0…1 and intrinsics [B, 3, 3]: worlds, each taken by some camera, then photographs.

    Args:
        feed: gives the worlds.
        store: their textures.
        photos: fill up to ``count``.
        count: B.
        height, width: of the pictures.
    """
    pictures = film_source(feed.next(), store, height, width)
    device = pictures.rgb.device
    looks = draw_looks(len(pictures.rgb)).without_vignette()
    taken = develop(pictures.rgb[:, None], looks, pictures.depth[:, None], pictures.scale)
    rest = count - len(pictures.rgb)
    K = torch.cat([pictures.K, random_intrinsics(rest, height, width, device)])
    return torch.cat([degrade(taken, looks)[:, 0], photos.stills(rest, height, width)]), K
