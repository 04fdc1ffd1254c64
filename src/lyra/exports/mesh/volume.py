"""Depth pictures fused into one truncated signed distance (Curless and Levoy 1996), in a grid shaped like a view.

The grid's axes are columns and rows of the source camera's picture and the logarithm of depth. So a cell is as wide as
a pixel or two and as deep as it is wide, near the camera and far away, and one grid of modest size holds a table and
the mountains behind it. Signed distances are fractions of the depth.
"""

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from lyra.geometry import invert_intrinsics
from lyra.geometry.compiled import compiled
from lyra.structures import Cameras

_FAINTEST = 0.02
_LAYERS = 4
_STEEPNESS = 1.5
_FARTHEST = 0.25
"""Weight at the end of the reach; parts of the reach: in layers, in cells along the slope; its bound in depths."""


@dataclass(frozen=True)
class GridShape:
    """Where the cells of a grid lie.

    Attributes:
        source: the camera (one frame) that the grid is shaped by.
        left, top: column and row of the first cell's centre, in pixels of ``source``; they may lie outside.
        step: distance of neighbouring cells in pixels.
        near: depth of the first layer.
        ratio: depth of a layer divided by that of the one before it.
        layers, rows, columns: how many there are.
    """

    source: Cameras
    left: float
    top: float
    step: float
    near: float
    ratio: float
    layers: int
    rows: int
    columns: int

    def depths(self) -> np.ndarray:
        """[layers] float64."""
        return self.near * self.ratio ** np.arange(self.layers)

    def world_points(self, cells: np.ndarray) -> np.ndarray:
        """[N, 3] world positions of [N, 3] cell indices (layer, row, column), fractions allowed; float64."""
        z = self.near * self.ratio ** cells[:, 0]
        pixels = np.stack([self.left + self.step * cells[:, 2], self.top + self.step * cells[:, 1]], axis=1)
        rays = np.concatenate([pixels, np.ones((len(cells), 1))], axis=1) @ _inverse(self.source).T
        c2w = self.source.c2w[0].double().numpy()
        return (rays * z[:, None]) @ c2w[:3, :3].T + c2w[:3, 3]


class SignedDistance:
    """The fused distance: weighted mean of what the pictures say.

    A surface has a say as far as it needs to close the cells around it: some layers, and more where it is steep. Behind
    the surface its weight falls off, so that a picture that sees empty space there has its way (Oleynikova et al.,
    Voxblox, 2017).

    Attributes:
        shape: of the grid.
        distance: [layers, rows, columns] float32, -1…1 in units of that reach, positive in front of the surface.
        weight: [layers, rows, columns] float32, 0 where no picture has a say.
    """

    def __init__(self, shape: GridShape) -> None:
        self.shape = shape
        size = (shape.layers, shape.rows, shape.columns)
        self.distance = np.zeros(size, np.float32)
        self.weight = np.zeros(size, np.float32)

    def add(self, depth: Tensor, cameras: Cameras) -> None:
        """Fuse depth pictures.

        Args:
            depth: [T, H, W] z along the optical axis, 0 where nothing is known.
            cameras: T cameras of that size.
        """
        shape = self.shape
        pixels = np.stack(
            [
                np.tile(shape.left + shape.step * np.arange(shape.columns), shape.rows),
                np.repeat(shape.top + shape.step * np.arange(shape.rows), shape.columns),
                np.ones(shape.rows * shape.columns),
            ],
            axis=1,
        )
        rays = pixels @ _inverse(shape.source).T
        to_view = (cameras.w2c.double() @ shape.source.c2w.double()).numpy()
        directions = (rays @ to_view[:, :3, :3].transpose(0, 2, 1)).astype(np.float32)
        shifts = to_view[:, :3, 3].astype(np.float32)
        intrinsics = cameras.K.float().numpy()
        pictures = np.ascontiguousarray(depth.float().numpy())
        per_reach = (1 / self._reach(depth)).numpy()
        planes = shape.depths().astype(np.float32)
        distance, weight = (array.reshape(shape.layers, -1) for array in (self.distance, self.weight))

        def run(part: slice) -> None:
            columns = directions[:, part]
            _fuse(distance[:, part], weight[:, part], planes, columns, shifts, intrinsics, pictures, per_reach)

        threads = torch.get_num_threads()
        bounds = np.linspace(0, len(rays), 4 * threads + 1).astype(int)
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, [slice(a, b) for a, b in zip(bounds[:-1], bounds[1:], strict=True)]))

    def _reach(self, depth: Tensor) -> Tensor:
        """[T, H, W] how far the surface at each pixel has a say, as a fraction of its depth."""
        padded = F.pad(depth[:, None].float(), (1, 1, 1, 1), mode="replicate")[:, 0]
        rise = depth.new_zeros(depth.shape)
        for ahead, behind in ((padded[:, 1:-1, 2:], padded[:, 1:-1, :-2]), (padded[:, 2:, 1:-1], padded[:, :-2, 1:-1])):
            slope = (ahead - behind).abs() / 2
            rise += torch.where((ahead > 0) & (behind > 0), slope, 0)
        steepness = rise / depth.clamp_min(1e-6) * self.shape.step
        return (_LAYERS * (self.shape.ratio - 1) + _STEEPNESS * steepness).clamp_max(_FARTHEST)


def _inverse(source: Cameras) -> np.ndarray:
    return invert_intrinsics(source.K[0].double()).numpy()


@compiled
def _fuse(distance, weight, planes, directions, shifts, K, pictures, per_reach):  # pragma: no cover - compiled
    """Fuse pictures [T, H, W] into cells [layers, rays]; directions [T, rays, 3] and shifts [T, 3] in their cameras.

    per_reach [T, H, W] is one divided by the reach of the surface that a pixel shows.
    """
    views, height, width = pictures.shape
    layers, rays = distance.shape
    half, one, faintest = np.float32(0.5), np.float32(1), np.float32(_FAINTEST)
    right_end, bottom_end = np.float32(width - 1), np.float32(height - 1)
    for k in range(layers):
        plane = planes[k]
        for t in range(views):
            fx, fy, cx, cy = K[t, 0, 0], K[t, 1, 1], K[t, 0, 2] - half, K[t, 1, 2] - half
            shift_x, shift_y, shift_z = shifts[t, 0], shifts[t, 1], shifts[t, 2]
            for n in range(rays):
                z = plane * directions[t, n, 2] + shift_z
                if z <= np.float32(1e-6):
                    continue
                inverse = one / z
                x = fx * (plane * directions[t, n, 0] + shift_x) * inverse + cx
                y = fy * (plane * directions[t, n, 1] + shift_y) * inverse + cy
                if not (x >= 0 and y >= 0 and x < right_end and y < bottom_end):
                    continue
                column, row = int(x), int(y)
                a, b = pictures[t, row, column], pictures[t, row, column + 1]
                c, d = pictures[t, row + 1, column], pictures[t, row + 1, column + 1]
                if min(a, b, c, d) <= 0:
                    continue
                right, down = x - np.float32(column), y - np.float32(row)
                upper, lower = a + right * (b - a), c + right * (d - c)
                seen = upper + down * (lower - upper)
                value = (seen * inverse - one) * per_reach[t, row, column]
                if value < -one:
                    continue
                share = one if value >= 0 else max(one + value, faintest)
                total = weight[k, n] + share
                distance[k, n] += (min(value, one) - distance[k, n]) * share / total
                weight[k, n] = total
