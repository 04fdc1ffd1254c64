"""What the teacher is told about one trajectory: the 3D cache seen from its cameras."""

from collections.abc import Sequence
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
        older: what earlier sources of a cache that keeps them apart show: pairs (warped, mask), newest first.
    """

    trajectory: Trajectory
    source: Tensor
    warped: Tensor
    depth: Tensor
    mask: Tensor
    older: tuple[tuple[Tensor, Tensor], ...] = ()

    def __post_init__(self) -> None:
        check_shapes(
            "Conditioning",
            source=(self.source, "3 H W"),
            warped=(self.warped, "T 3 H W"),
            depth=(self.depth, "T H W"),
            mask=(self.mask, "T H W"),
            c2w=(self.trajectory.cameras.c2w, "T 4 4"),
        )

    def frames(self, index: Sequence[int]) -> "Conditioning":
        """The same at some of the T frames."""
        chosen = torch.as_tensor(list(index), device=self.warped.device)
        cameras = self.trajectory.cameras
        return replace(
            self,
            trajectory=replace(self.trajectory, cameras=cameras[chosen.to(cameras.c2w.device)]),
            warped=self.warped[chosen],
            depth=self.depth[chosen],
            mask=self.mask[chosen],
            older=tuple((warped[chosen], mask[chosen]) for warped, mask in self.older),
        )

    def to(self, device: torch.device | str) -> "Conditioning":
        return replace(
            self,
            older=tuple((warped.to(device), mask.to(device)) for warped, mask in self.older),
            trajectory=self.trajectory.to(device),
            source=self.source.to(device),
            warped=self.warped.to(device),
            depth=self.depth.to(device),
            mask=self.mask.to(device),
        )
