"""What the teacher is told about one trajectory: the 3D cache seen from its cameras."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes
from lyra.structures.trajectory import Trajectory


@dataclass(frozen=True)
class Conditioning:
    """The 3D cache rendered along one trajectory.

    Attributes:
        trajectory: the cameras.
        source: [3, H, W] float 0…1, the clean first frame.
        warped: [T, 3, H, W] float 0…1, the splatted cache, holes filled.
        depth: [T, H, W] float, z of the splatted cache, 0 in holes.
        mask: [T, H, W] bool, where the cache is visible.
    """

    trajectory: Trajectory
    source: Tensor
    warped: Tensor
    depth: Tensor
    mask: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            "Conditioning",
            source=(self.source, "3 H W"),
            warped=(self.warped, "T 3 H W"),
            depth=(self.depth, "T H W"),
            mask=(self.mask, "T H W"),
            c2w=(self.trajectory.cameras.c2w, "T 4 4"),
        )

    def to(self, device: torch.device | str) -> "Conditioning":
        return replace(
            self,
            trajectory=self.trajectory.to(device),
            source=self.source.to(device),
            warped=self.warped.to(device),
            depth=self.depth.to(device),
            mask=self.mask.to(device),
        )
