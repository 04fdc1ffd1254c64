"""Pictures of Gaussians."""

from dataclasses import dataclass

from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Rendering:
    """What the rasteriser returns for T cameras.

    Attributes:
        rgb: [T, 3, H, W] float, composited over the background.
        depth: [T, H, W] float, expected z, 0 where nothing was hit.
        alpha: [T, H, W] float 0…1.
    """

    rgb: Tensor
    depth: Tensor
    alpha: Tensor

    def __post_init__(self) -> None:
        check_shapes("Rendering", rgb=(self.rgb, "T 3 H W"), depth=(self.depth, "T H W"), alpha=(self.alpha, "T H W"))
