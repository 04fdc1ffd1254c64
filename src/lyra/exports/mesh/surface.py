"""From the fused distance to triangles: marching cubes, scraps removed, colours looked up, a coarse twin.

Needs scikit-image and fast-simplification (extra ``mesh``); this is the only module that imports them.
"""

import importlib.util
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.exports.mesh.volume import SignedDistance
from lyra.structures import Cameras, InputError, Mesh

_PACKAGES = {"skimage": "scikit-image", "fast_simplification": "fast-simplification"}
_FEWEST_LOOKS = 2
_SMALLEST_SHARE = 0.005
_AGGRESSION = (3, 7, 10)


def require_mesh_packages() -> None:
    """Refuse to go on without the packages of the extra.

    Raises:
        InputError: one is not installed; the message has the line that installs it.
    """
    missing = [name for module, name in _PACKAGES.items() if importlib.util.find_spec(module) is None]
    if missing:
        raise InputError(f"a mesh needs the package {' and '.join(missing)}; pip install 'lyra-scenes[mesh]'")


def surface_of(volume: SignedDistance) -> tuple[np.ndarray, np.ndarray]:
    """The zero level where at least two pictures looked, without scraps of less than half a percent of all triangles.

    Returns:
        vertices [N, 3] float64 in the world, triangles [F, 3] int64, counter-clockwise from the side that was seen.

    Raises:
        InputError: there is no surface.
    """
    from skimage.measure import marching_cubes

    seen = volume.count >= _FEWEST_LOOKS
    nothing = InputError("the scene shows no solid surface to these cameras; export the Gaussians themselves")
    if not seen.any() or not volume.distance[seen].min() < 0 < volume.distance[seen].max():
        raise nothing
    try:
        cells, triangles, _, _ = marching_cubes(volume.distance, 0.0, mask=seen)
    except RuntimeError:  # what it raises where the zero level only lies between masked cells
        raise nothing from None
    # layer, row, column is a left-handed system
    cells, triangles = _without_scraps(cells, triangles[:, ::-1].astype(np.int64))
    return volume.shape.world_points(cells.astype(np.float64)), triangles


def _without_scraps(vertices: np.ndarray, triangles: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Only connected parts of some size, and only vertices in use."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    triangles = triangles[(triangles != np.roll(triangles, 1, axis=1)).all(axis=1)]
    edges = np.concatenate([triangles[:, :2], triangles[:, 1:]])
    graph = coo_array((np.ones(len(edges), np.int8), edges.T), shape=(len(vertices), len(vertices)))
    part = connected_components(graph, directed=False)[1][triangles[:, 0]]
    sizes = np.bincount(part)
    triangles = triangles[sizes[part] >= _SMALLEST_SHARE * len(triangles)]
    used, triangles = np.unique(triangles, return_inverse=True)
    return vertices[used], triangles.reshape(-1, 3)


def colored(vertices: np.ndarray, triangles: np.ndarray, rgb: Tensor, depth: Tensor, cameras: Cameras) -> Mesh:
    """Give each vertex the mean colour of the pictures that show it.

    Args:
        vertices, triangles: [N, 3] world, [F, 3].
        rgb: [T, 3, H, W] pictures.
        depth: [T, H, W] z of what each picture shows, 0 where nothing is known.
        cameras: T cameras of that size.
    """
    points = torch.from_numpy(vertices).float()
    total, weight = torch.zeros(len(points), 3), torch.zeros(len(points), 1)
    for t, w2c in enumerate(cameras.w2c):
        local = points @ w2c[:3, :3].T + w2c[:3, 3]
        z = local[:, 2:].clamp_min(1e-6)
        pixels = (local @ cameras.K[t].T)[:, :2] / z
        grid = (2 * pixels / torch.tensor([cameras.width, cameras.height]) - 1)[None, None]
        picture = torch.cat([rgb[t], depth[t][None]])[None]
        found = F.grid_sample(picture, grid, align_corners=False)[0, :, 0].T
        # a vertex off the surface of a picture gets little of its colour, but never none at all
        off = (found[:, 3:] / z - 1) / _COLOR_REACH
        share = (local[:, 2:] > 0) * (found[:, 3:] > 0) / (1e-6 + off.square())
        total += share * found[:, :3]
        weight += share
    return Mesh(points, torch.from_numpy(triangles), (total / weight.clamp_min(1e-12)).clamp(0, 1))


_COLOR_REACH = 0.01


def simplified(mesh: Mesh, most: int) -> Mesh:
    """A coarse twin of at most ``most`` triangles, without colours (all zero), by quadric error metrics.

    Small parts go first where the borders of the surface leave no other way.
    """
    import fast_simplification

    vertices, triangles = mesh.vertices.numpy(), mesh.triangles.int().numpy()
    for aggression in _AGGRESSION:
        if len(triangles) <= most:
            break
        vertices, triangles = fast_simplification.simplify(vertices, triangles, target_count=most, agg=aggression)
    return Mesh(torch.from_numpy(vertices), torch.from_numpy(triangles).long(), torch.zeros(len(vertices), 3))
