"""A set of 3D Gaussians, activated: the form every part but the file formats agrees on."""

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Gaussians:
    """N coloured 3D Gaussians in world coordinates (OpenCV axes of the source camera).

    Attributes:
        means: [N, 3] float, centres in scene units.
        quats: [N, 4] float, unit quaternions w, x, y, z.
        scales: [N, 3] float, standard deviations along the rotated axes, linear.
        opacities: [N] float 0…1.
        colors: [N, 3] float 0…1, plain sRGB, no view dependence.
    """

    means: Tensor
    quats: Tensor
    scales: Tensor
    opacities: Tensor
    colors: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            "Gaussians",
            means=(self.means, "N 3"),
            quats=(self.quats, "N 4"),
            scales=(self.scales, "N 3"),
            opacities=(self.opacities, "N"),
            colors=(self.colors, "N 3"),
        )

    def __len__(self) -> int:
        return self.means.shape[0]

    def __getitem__(self, index: Tensor | slice) -> "Gaussians":
        return Gaussians(
            self.means[index], self.quats[index], self.scales[index], self.opacities[index], self.colors[index]
        )

    def to(self, device: torch.device | str) -> "Gaussians":
        return replace(
            self,
            means=self.means.to(device),
            quats=self.quats.to(device),
            scales=self.scales.to(device),
            opacities=self.opacities.to(device),
            colors=self.colors.to(device),
        )
