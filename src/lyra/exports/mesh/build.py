"""The road from Gaussians to a mesh and its collider."""

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from lyra.exports.mesh.pictures import solid_pictures
from lyra.exports.mesh.surface import require_mesh_packages, simplified, surface_of
from lyra.exports.mesh.volume import GridShape, SignedDistance
from lyra.geometry import transform_points, unproject
from lyra.structures import Cameras, Gaussians, InputError, Mesh

_SAMPLING = 4
_OUTLIERS = 0.002
_MARGIN = 0.05
_FINEST_RATIO = 1.004
_FINEST_STEP = 1.5
_COARSER, _ATTEMPTS = 1.6, 5


@dataclass(frozen=True)
class MeshOptions:
    """How fine a mesh is.

    Attributes:
        cells: of the grid that the depth is fused in, at most; 12 million take 100 MB.
        collider_step: cells of the collider's grid are so many times as wide.
        collider_triangles: of the collider, at most.
    """

    cells: int = 12_000_000
    collider_step: float = 2.5
    collider_triangles: int = 5_000

    def __post_init__(self) -> None:
        if self.cells < 1000 or self.collider_step < 1 or self.collider_triangles < 4:
            raise InputError(
                f"a mesh of {self.cells} cells with a collider of {self.collider_triangles} triangles is no mesh; "
                "take at least 1000 and 4"
            )


def build_mesh(
    gaussians: Gaussians,
    source: Cameras,
    views: Cameras,
    options: MeshOptions | None = None,
    progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> tuple[Mesh, Mesh]:
    """Fuse the depth that the Gaussians show along a path into triangles.

    Args:
        gaussians: the scene.
        source: the camera (one frame) that looks at what matters; the grid is shaped by it.
        views: T cameras to look from; what fewer than two of them show is left out.
        options: sizes.
        progress: told what is being done, how much of it, and of how much.

    Returns:
        The mesh with colours, and the collider: fewer triangles, no colours (all zero).

    Raises:
        InputError: no surface is seen, or a package of the extra ``mesh`` is missing.
    """
    require_mesh_packages()
    options = options or MeshOptions()
    source = source.to("cpu")
    rgb, depth = solid_pictures(gaussians, views, lambda done, total: progress("render", done, total))
    views = views.to("cpu")
    shape = _grid(depth, views, source, options.cells)
    progress("fuse", 0, 2)
    mesh = _fused(shape, rgb, depth, views)
    progress("fuse", 1, 2)
    collider = _collider(shape, rgb, depth, views, options)
    progress("fuse", 2, 2)
    return mesh, collider


def _fused(shape: GridShape, rgb: Tensor, depth: Tensor, views: Cameras) -> Mesh:
    volume = SignedDistance(shape)
    volume.add(depth, views)
    return surface_of(volume, rgb, depth, views)


def _collider(shape: GridShape, rgb: Tensor, depth: Tensor, views: Cameras, options: MeshOptions) -> Mesh:
    """The surface in cells so coarse that its borders are short, and it can be brought to few triangles."""
    factor = options.collider_step
    for _ in range(_ATTEMPTS):
        collider = simplified(_fused(_coarser(shape, factor), rgb, depth, views), options.collider_triangles)
        if collider is not None:
            return collider
        factor *= _COARSER
    raise InputError(f"the collider does not come down to {options.collider_triangles} triangles; allow it more")


def _grid(depth: Tensor, views: Cameras, source: Cameras, cells: int) -> GridShape:
    """A grid around everything seen but a few thousandths at each end, as fine as ``cells`` allow.

    It is shaped by the source camera, moved back to where the hindmost view stands, so that all of them look into it.
    """
    ahead = transform_points(views.c2w[:, :3, 3], source.w2c[0])[:, 2]
    c2w = source.c2w.clone()
    c2w[:, :3, 3] += ahead.min().clamp_max(0) * c2w[:, :3, 2]
    source = Cameras(c2w, source.K, source.height, source.width)
    # every fourth pixel; the intrinsics shrink along, its centre stays where it was
    sampled = depth[:, ::_SAMPLING, ::_SAMPLING]
    K = views.K / torch.tensor([_SAMPLING, _SAMPLING, 1.0])[:, None]
    points = unproject(sampled, K, views.c2w, 0.5 / _SAMPLING)[sampled > 0]
    local = transform_points(points, source.w2c[0])
    local = local[local[:, 2] > 0]
    if len(local) == 0:
        raise InputError("the scene shows no solid surface to these cameras; export the Gaussians themselves")
    z = local[:, 2]
    pixels = (local @ source.K[0].T)[:, :2] / z[:, None]
    low, high = (np.quantile(pixels.numpy(), q, axis=0) for q in (_OUTLIERS, 1 - _OUTLIERS))
    near, far = (float(np.quantile(z.numpy(), q)) for q in (_OUTLIERS, 1 - _OUTLIERS))
    near, far = near * (1 - _MARGIN), far * (1 + _MARGIN)
    focal = float(source.K[0, 0, 0])

    def shape(pixel: float) -> GridShape:
        ratio = max(1 + pixel / focal, _FINEST_RATIO)
        columns, rows = (int(length / pixel) + 2 for length in high - low)
        layers = int(math.log(far / near) / math.log(ratio)) + 2
        return GridShape(source, float(low[0]), float(low[1]), pixel, near, ratio, layers, rows, columns)

    pixel = _FINEST_STEP
    while (found := shape(pixel)).layers * found.rows * found.columns > cells:
        pixel *= 1.05
    return found


def _coarser(shape: GridShape, factor: float) -> GridShape:
    """The same space in cells ``factor`` times as wide and deep."""
    ratio = shape.ratio**factor
    sizes = [int((size - 1) / factor) + 2 for size in (shape.layers, shape.rows, shape.columns)]
    return GridShape(shape.source, shape.left, shape.top, shape.step * factor, shape.near, ratio, *sizes)
