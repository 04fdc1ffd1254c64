"""The splatting loop, compiled for the CPU: one item per thread, the same numbers as the torch form."""

import math
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import torch
from torch import Tensor

from lyra.geometry.compiled import compiled

_EPSILON = 1e-7


@compiled
def _splat_item(
    points, values, weights, w2c, K, log_depth_max, pixel_centre, whole_pixels_twice, out_values, out_depth, out_mask
):  # pragma: no cover - compiled
    """Fill one item's outputs. points [N, 3], values [C, N], weights [N]; log_depth_max < 0 asks for the maximum."""
    number = points.shape[0]
    channels, height, width = out_values.shape
    epsilon = np.float32(_EPSILON)
    one = np.float32(1.0)
    r20, r21, r22, t2 = w2c[2, 0], w2c[2, 1], w2c[2, 2], w2c[2, 3]
    projection = np.empty((2, 4), np.float32)
    for i in range(2):
        for j in range(4):
            projection[i, j] = K[i, 0] * w2c[0, j] + K[i, 1] * w2c[1, j] + K[i, 2] * w2c[2, j]

    largest = np.float32(log_depth_max)
    if largest < 0:
        deepest = np.float32(0.0)
        for n in range(number):
            z = r20 * points[n, 0] + r21 * points[n, 1] + r22 * points[n, 2] + t2
            deepest = max(deepest, z)
        largest = np.float32(math.log(one + deepest))
    steepness = np.float32(50.0) / (largest + epsilon)

    total = np.zeros((height * width, channels + 2), np.float32)
    for n in range(number):
        weight = weights[n]
        px, py, pz = points[n, 0], points[n, 1], points[n, 2]
        z = r20 * px + r21 * py + r22 * pz + t2
        if not (z > 0 and weight > 0):
            continue
        scale = one / (z + epsilon)
        x = (projection[0, 0] * px + projection[0, 1] * py + projection[0, 2] * pz + projection[0, 3]) * scale
        y = (projection[1, 0] * px + projection[1, 1] * py + projection[1, 2] * pz + projection[1, 3]) * scale
        x -= np.float32(pixel_centre)
        y -= np.float32(pixel_centre)
        if not (x > -1 and x < width and y > -1 and y < height):
            continue
        exponent = min(steepness * np.float32(math.log(one + z)), np.float32(80.0))
        weight = weight / (np.float32(math.exp(exponent)) + epsilon)
        left, top = math.floor(x), math.floor(y)
        share_right, share_bottom = x - np.float32(left), y - np.float32(top)
        right, bottom = left + 1, top + 1
        if whole_pixels_twice and share_right == 0:
            right, share_right = left, one
        if whole_pixels_twice and share_bottom == 0:
            bottom, share_bottom = top, one
        for bottom_side in range(2):
            row = bottom if bottom_side == 1 else top
            if row < 0 or row >= height:
                continue
            row_weight = weight * (share_bottom if bottom_side == 1 or bottom == top else one - share_bottom)
            for right_side in range(2):
                column = right if right_side == 1 else left
                if column < 0 or column >= width:
                    continue
                share = row_weight * (share_right if right_side == 1 or right == left else one - share_right)
                cell = row * width + column
                for c in range(channels):
                    total[cell, c] += share * values[c, n]
                total[cell, channels] += share * z
                total[cell, channels + 1] += share

    for row in range(height):
        for column in range(width):
            cell = row * width + column
            share = total[cell, channels + 1]
            if share > 0:
                for c in range(channels):
                    out_values[c, row, column] = total[cell, c] / share
                out_depth[row, column] = total[cell, channels] / share
                out_mask[row, column] = True


def splat_points_cpu(
    points: Tensor,
    values: Tensor,
    weights: Tensor,
    w2c: Tensor,
    K: Tensor,
    height: int,
    width: int,
    log_depth_max: Tensor | None,
    pixel_centre: float,
    whole_pixels_twice: bool = False,
) -> tuple[Tensor, Tensor, Tensor]:
    """`splat_points` for CPU tensors, without gradient; as many threads as torch may use."""
    batch, channels = w2c.shape[0], values.shape[1]
    out_values = np.zeros((batch, channels, height, width), np.float32)
    out_depth = np.zeros((batch, height, width), np.float32)
    out_mask = np.zeros((batch, height, width), np.bool_)
    inputs = [_array(tensor) for tensor in (points, values, weights, w2c, K)]
    largest = np.full(batch, -1.0) if log_depth_max is None else log_depth_max.detach().double().numpy()

    def run(b: int) -> None:
        item = [array[b if array.shape[0] > 1 else 0] for array in inputs]
        choices = (float(largest[b]), pixel_centre, whole_pixels_twice)
        _splat_item(*item, *choices, out_values[b], out_depth[b], out_mask[b])

    threads = min(torch.get_num_threads(), batch)
    if threads == 1:
        for b in range(batch):
            run(b)
    else:
        with ThreadPoolExecutor(threads) as pool:
            list(pool.map(run, range(batch)))
    return torch.from_numpy(out_values), torch.from_numpy(out_depth), torch.from_numpy(out_mask)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().float().contiguous().numpy()
