"""From the fused distance to triangles: marching cubes, what no picture shows removed, colours, a coarse twin.

Needs scikit-image and fast-simplification (extra ``mesh``); this is the only module that imports them.
"""

import importlib.util

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.exports.mesh.volume import SignedDistance
from lyra.geometry import transform_points
from lyra.structures import Cameras, InputError, Mesh

_PACKAGES = {"skimage": "scikit-image", "fast_simplification": "fast-simplification"}
_FEWEST_LOOKS = 2
_ON_SURFACE = 0.02
_COLOR_REACH = 0.01
_SMALLEST_SHARE = 0.005
_AGGRESSION = (5, 10)


def require_mesh_packages() -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        InputError: one is not installed; the message has the line that installs it.
    """
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"a mesh needs the package {' and '.join(missing)}; pip install 'lyra-scenes[mesh]'")


def surface_of(volume: SignedDistance, rgb: Tensor, depth: Tensor, cameras: Cameras) -> Mesh:
    """The zero level, as far as at least two pictures show it, in their colours.

    Where a picture's say ends behind an edge, and where two pictures contradict each other, the zero level runs through
    places that nobody sees; that is left out, and so are scraps of less than half a percent of all triangles.

    Args:
        volume: the fused distance.
        rgb: [T, 3, H, W] pictures.
        depth: [T, H, W] z of what each picture shows, 0 where nothing is known.
        cameras: T cameras of that size.

    Raises:
        InputError: there is no surface.
    """
    from skimage.measure import marching_cubes

    nothing = InputError("the scene shows no solid surface to these cameras; export the Gaussians themselves")
    known = volume.weight > 0
    if not known.any() or not volume.distance[known].min() < 0 < volume.distance[known].max():
        raise nothing
    try:
        cells, triangles, _, _ = marching_cubes(volume.distance, 0.0, mask=known)
    except RuntimeError:  # what it raises where the zero level only lies between masked cells
        raise nothing from None
    points = torch.from_numpy(volume.shape.world_points(cells.astype(np.float64))).float()
    colors, looks = _shown(points, rgb, depth, cameras)
    # layer, row, column is a left-handed system
    triangles = triangles[:, ::-1].astype(np.int64)
    used, triangles = _without_scraps(triangles[(looks.numpy() >= _FEWEST_LOOKS)[triangles].all(axis=1)], len(points))
    if len(triangles) == 0:
        raise nothing
    return Mesh(points[used], torch.from_numpy(triangles), colors[used])


def _shown(points: Tensor, rgb: Tensor, depth: Tensor, cameras: Cameras) -> tuple[Tensor, Tensor]:
    """Per point [N, 3]: mean colour [N, 3] of the pictures that show it, and how many do, [N]."""
    total, weight, looks = torch.zeros(len(points), 3), torch.zeros(len(points), 1), torch.zeros(len(points))
    size = torch.tensor([cameras.width, cameras.height])
    for t, w2c in enumerate(cameras.w2c):
        local = transform_points(points, w2c)
        z = local[:, 2:].clamp_min(1e-6)
        pixels = (local @ cameras.K[t].T)[:, :2] / z
        picture = torch.cat([rgb[t], depth[t][None]])[None]
        grid = (2 * pixels / size - 1)[None, None]
        found = F.grid_sample(picture, grid, padding_mode="border", align_corners=False)[0, :, 0].T
        off = (found[:, 3:] / z - 1).abs()
        inside = (local[:, 2] > 0) & (pixels >= 0).all(dim=1) & (pixels < size).all(dim=1)
        shows = inside[:, None] & (off < _ON_SURFACE)
        looks += shows[:, 0]
        share = shows / (1 + (off / _COLOR_REACH).square())
        total += share * found[:, :3]
        weight += share
    return (total / weight.clamp_min(1e-12)).clamp(0, 1), looks


def _without_scraps(triangles: np.ndarray, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Only connected parts of some size: indices of the vertices in use, and triangles of those."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    graph = coo_array((np.ones(len(edges), np.int8), edges.T), shape=(count, count))
    part = connected_components(graph, directed=False)[1][triangles[:, 0]]
    sizes = np.bincount(part, minlength=1)
    triangles = triangles[sizes[part] >= _SMALLEST_SHARE * len(triangles)]
    used, triangles = np.unique(triangles, return_inverse=True)
    return used, triangles.reshape(-1, 3)


def simplified(mesh: Mesh, most: int) -> Mesh | None:
    """A coarse twin of at most ``most`` triangles, without colours (all zero), by quadric error metrics.

    Returns:
        ``None`` if the borders of the surface leave no way to so few.
    """
    import fast_simplification

    vertices, triangles = mesh.vertices.numpy(), mesh.triangles.int().numpy()
    for aggression in _AGGRESSION:
        if len(triangles) <= most:
            break
        vertices, triangles = fast_simplification.simplify(vertices, triangles, target_count=most, agg=aggression)
    if len(triangles) > most:
        return None
    return Mesh(torch.from_numpy(vertices).float(), torch.from_numpy(triangles).long(), torch.zeros(len(vertices), 3))
