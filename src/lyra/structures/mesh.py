"""A surface of coloured triangles."""

from dataclasses import dataclass

from torch import Tensor

from lyra.structures.shapes import check_shapes


@dataclass(frozen=True)
class Mesh:
    """Triangles in world coordinates (OpenCV axes of the source camera).

    Attributes:
        vertices: [N, 3] float, positions in scene units.
        triangles: [F, 3] int, indices of vertices, counter-clockwise when seen from outside.
        colors: [N, 3] float 0…1, plain sRGB.
    """

    vertices: Tensor
    triangles: Tensor
    colors: Tensor

    def __post_init__(self) -> None:
        check_shapes(
            "Mesh", vertices=(self.vertices, "N 3"), triangles=(self.triangles, "F 3"), colors=(self.colors, "N 3")
        )
