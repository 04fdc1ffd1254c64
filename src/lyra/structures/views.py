"""Pictures with their geometry: what ``perceive`` makes of the input."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.cameras import Cameras
from lyra.structures.frames import Frames
from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Views:
    """Frames with depth and cameras.

    Attributes:
        frames: T pictures of H x W.
        depth: [T, H, W] float, z along the optical axis, in scene units (median of the first frame is 1).
        mask: [T, H, W] bool, where the depth is valid.
        cameras: T cameras of H x W.
    """

    frames: Frames
    depth: Tensor
    mask: Tensor
    cameras: Cameras

    def __post_init__(self) -> None:
        check_shapes(
            "Views",
            frames=(self.frames.rgb, "T 3 H W"),
            depth=(self.depth, "T H W"),
            mask=(self.mask, "T H W"),
            c2w=(self.cameras.c2w, "T 4 4"),
        )

    def to(self, device: torch.device | str) -> "Views":
        return replace(
            self,
            frames=self.frames.to(device),
            depth=self.depth.to(device),
            mask=self.mask.to(device),
            cameras=self.cameras.to(device),
        )
