"""One world that training never saw, as the road begins with it: pictured with the true lens, and filmed for truth."""

from dataclasses import dataclass

import torch
from torch import Tensor

from lyra.models.depth import DepthNet, photo_depth
from lyra.structures import Cameras, Frames, Views
from lyra.worlds import Clip, TextureSet, TextureStore, WorldBatch, collate, film, film_source, sample_world


@dataclass(frozen=True)
class PicturedWorld:
    """A world and its picture from the source camera.

    Attributes:
        worlds: that world alone.
        store: its textures.
        rgb: [1, 3, H, W] 0…1.
        depth: [1, H, W] true z, median 1 over what is not sky; the sky is FAR_DEPTH.
        sky: [1, H, W] bool.
        camera: of the picture, at the identity, with the true intrinsics (as EXIF would give them).
    """

    worlds: WorldBatch
    store: TextureStore
    rgb: Tensor
    depth: Tensor
    sky: Tensor
    camera: Cameras

    def predicted_depth(self, depth_net: DepthNet) -> Tensor:
        """[1, H, W] what the road estimates where the lens is known."""
        return photo_depth(depth_net, self.rgb, self.camera.fov_x)[0]

    def views(self, depth: Tensor) -> Views:
        """The picture with a depth [1, H, W] of median 1, which holds everywhere: commanded cameras mean the same."""
        return Views(Frames(self.rgb), depth, torch.ones_like(depth, dtype=torch.bool), self.camera)

    def film(self, c2w: Tensor) -> Clip:
        """What cameras [V, T, 4, 4] truly see, relative to the source camera in units of its median depth (W = 1)."""
        return film(self.worlds, self.store, c2w[None], self.camera.height, self.camera.width)


def picture_world(index: int, textures: TextureSet, store: TextureStore, size: tuple[int, int]) -> PicturedWorld:
    """Picture the world of seed ``index`` of the textures' split, ``size`` (height, width), on the store's device."""
    worlds = collate([sample_world(index, textures.split, textures)], store.device)
    picture = film_source(worlds, store, *size)
    camera = Cameras(torch.eye(4, device=store.device)[None], picture.K, *size)
    return PicturedWorld(worlds, store, picture.rgb.clamp(0, 1), picture.depth, picture.sky, camera)


def path_generator(seed: int, index: int) -> torch.Generator:
    """What draws the movement distances of world ``index``: the same ones in every protocol of that seed."""
    return torch.Generator().manual_seed(seed * 100_003 + index)


def departs(c2w: Tensor) -> Tensor:
    """[...] bool: cameras [..., 4, 4] that have left the source's.

    A circle ends where it began: a frame that shows the source again says nothing about novel views.
    """
    return (c2w - torch.eye(4, dtype=c2w.dtype, device=c2w.device)).abs().amax(dim=(-2, -1)) > 1e-3


def scored_frames(frames: int, stride: int) -> list[int]:
    """Every ``stride``-th frame, counted back from the last one; frame 0, which is given, never."""
    return list(range(frames - 1, 0, -stride))[::-1]


def is_late(frame: Tensor, frames: int) -> Tensor:
    """[N] bool: numbers [N] of frames in the last third of a clip of ``frames``."""
    return frame * 3 > 2 * (frames - 1)
