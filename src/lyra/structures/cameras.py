"""Pinhole cameras, one per frame."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Cameras:
    """Pinhole cameras in OpenCV axes (x right, y down, z forward).

    Attributes:
        c2w: [T, 4, 4] float, camera-to-world, rigid.
        K: [T, 3, 3] float, intrinsics in pixels; pixel centres lie at +0.5.
        height, width: size in pixels that ``K`` refers to.
    """

    c2w: Tensor
    K: Tensor
    height: int
    width: int

    def __post_init__(self) -> None:
        check_shapes("Cameras", c2w=(self.c2w, "T 4 4"), K=(self.K, "T 3 3"))

    def __len__(self) -> int:
        return self.c2w.shape[0]

    def __getitem__(self, index: slice | int | Tensor) -> "Cameras":
        if isinstance(index, int):
            index = slice(index, index + 1 or None)
        return replace(self, c2w=self.c2w[index], K=self.K[index])

    @property
    def w2c(self) -> Tensor:
        """[T, 4, 4] world-to-camera, the rigid inverse of ``c2w``; no product of matrices, which TF32 would coarsen."""
        rotation = self.c2w[:, :3, :3].mT
        inverse = torch.eye(4, dtype=self.c2w.dtype, device=self.c2w.device).repeat(len(self), 1, 1)
        inverse[:, :3, :3] = rotation
        inverse[:, :3, 3] = -(rotation * self.c2w[:, None, :3, 3]).sum(dim=-1)
        return inverse

    @property
    def fov_x(self) -> Tensor:
        """[T] horizontal field of view in radians."""
        return 2 * torch.atan(self.width / (2 * self.K[:, 0, 0]))

    def resized(self, height: int, width: int) -> "Cameras":
        """The same cameras for pictures resized (not cropped) to ``height`` x ``width``."""
        K = self.K.clone()
        K[:, 0] *= width / self.width
        K[:, 1] *= height / self.height
        return replace(self, K=K, height=height, width=width)

    def to(self, device: torch.device | str) -> "Cameras":
        return replace(self, c2w=self.c2w.to(device), K=self.K.to(device))
