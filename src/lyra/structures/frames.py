"""Pictures in time."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Frames:
    """RGB pictures, one per time step; a photo has one frame.

    Attributes:
        rgb: [T, 3, H, W] float, sRGB values 0…1.
        fps: frames per second, ``None`` for a still.
    """

    rgb: Tensor
    fps: float | None = None

    def __post_init__(self) -> None:
        check_shapes("Frames", rgb=(self.rgb, "T 3 H W"))

    def __len__(self) -> int:
        return self.rgb.shape[0]

    def __getitem__(self, index: slice) -> "Frames":
        return replace(self, rgb=self.rgb[index])

    @property
    def height(self) -> int:
        return self.rgb.shape[2]

    @property
    def width(self) -> int:
        return self.rgb.shape[3]

    def to(self, device: torch.device | str) -> "Frames":
        return replace(self, rgb=self.rgb.to(device))
