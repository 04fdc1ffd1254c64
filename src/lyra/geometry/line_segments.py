"""Straight line segments of a picture.

Neighbouring pixels whose gradients point the same way grow into regions, and a region that is long and thin is a
segment. After Grompone von Gioi et al., "LSD: a Line Segment Detector" (IPOL 2012); in place of its measure of
meaningfulness there is a least contrast, a least length and a largest width.
"""

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lyra.geometry.compiled import compiled

CONTRAST = 0.012
"""Least gradient, in colour 0…1 per pixel, of a pixel on a line."""
WIDEST = 4.0
"""Pixels that the gradient of a line may be wide."""
DENSE = 0.8
"""Least number of pixels of a region per pixel of its length."""
ANGLES = (22.5, 11.0, 5.0)
"""Degrees by which a gradient may differ from its region's; a region that comes out wide grows anew with the next."""


@torch.no_grad()
def line_segments(rgb: Tensor, shortest: float = 12.0) -> Tensor:
    """Find the straight edges of a picture.

    Args:
        rgb: [3, H, W] 0…1, on any device.
        shortest: least length in pixels.

    Returns:
        [N, 4] float32 on the CPU: x and y of both ends, pixel centres at whole numbers, strongest edges first.
    """
    gradient = _gradient(rgb.float().cpu())
    magnitude = gradient.norm(dim=0).numpy()
    along = torch.atan2(gradient[0], -gradient[1]).numpy()
    strongest = np.argsort(-magnitude, axis=None, kind="stable")
    strongest = strongest[magnitude.ravel()[strongest] >= CONTRAST]
    found = _grow(magnitude, along, strongest, np.radians(ANGLES), CONTRAST, float(shortest), WIDEST, DENSE)
    return torch.from_numpy(found).float()


def _gradient(rgb: Tensor) -> Tensor:
    """[2, H, W] derivatives by x and y of the colour that changes most, of a picture [3, H, W] blurred a little."""
    tent = torch.tensor([0.25, 0.5, 0.25])
    kernel = (tent[:, None] * tent).expand(3, 1, 3, 3)
    blurred = F.conv2d(F.pad(rgb[None], (1, 1, 1, 1), mode="replicate"), kernel, groups=3)
    ringed = F.pad(blurred, (1, 1, 1, 1), mode="replicate")[0]
    by_x = (ringed[:, 1:-1, 2:] - ringed[:, 1:-1, :-2]) / 2
    by_y = (ringed[:, 2:, 1:-1] - ringed[:, :-2, 1:-1]) / 2
    most = (by_x.square() + by_y.square()).argmax(dim=0, keepdim=True)
    return torch.cat([by_x.gather(0, most), by_y.gather(0, most)])


@compiled
def _grow(magnitude, along, seeds, angles, contrast, shortest, widest, dense):  # pragma: no cover - compiled
    """[N, 4] ends of segments; ``along`` [H, W] is the direction of a line through each pixel, in radians."""
    height, width = magnitude.shape
    used = np.zeros((height, width), np.bool_)
    rows, columns = np.empty(height * width, np.int32), np.empty(height * width, np.int32)
    found, count = np.empty((seeds.shape[0], 4)), 0
    for seed in seeds:
        if used[seed // width, seed % width]:
            continue
        for attempt in range(len(angles)):
            angle = angles[attempt]
            size = _region(seed // width, seed % width, magnitude, along, angle, contrast, used, rows, columns)
            if size < shortest:
                break
            x, y, turn, spread = _axis(magnitude, rows[:size], columns[:size])
            low, high = 0.0, 0.0
            for i in range(size):
                place = (columns[i] - x) * math.cos(turn) + (rows[i] - y) * math.sin(turn)
                low, high = min(low, place), max(high, place)
            if high - low < shortest:
                break
            if spread <= widest and size >= dense * (high - low):
                found[count, 0], found[count, 1] = x + low * math.cos(turn), y + low * math.sin(turn)
                found[count, 2], found[count, 3] = x + high * math.cos(turn), y + high * math.sin(turn)
                count += 1
                break
            if attempt + 1 < len(angles):
                for i in range(size):
                    used[rows[i], columns[i]] = False
    return found[:count]


@compiled
def _region(row, column, magnitude, along, angle, contrast, used, rows, columns):  # pragma: no cover - compiled
    """How many pixels joined the one given; their places are in ``rows`` and ``columns``, and they count as used."""
    height, width = magnitude.shape
    rows[0], columns[0], size, done = row, column, 1, 0
    used[row, column] = True
    turn = along[row, column]
    cosine, sine = math.cos(turn), math.sin(turn)
    while done < size:
        y, x = rows[done], columns[done]
        done += 1
        for there_y in range(max(y - 1, 0), min(y + 2, height)):
            for there_x in range(max(x - 1, 0), min(x + 2, width)):
                if used[there_y, there_x] or magnitude[there_y, there_x] < contrast:
                    continue
                apart = along[there_y, there_x] - turn
                apart -= 2 * math.pi * math.floor((apart + math.pi) / (2 * math.pi))
                if abs(apart) >= angle:
                    continue
                used[there_y, there_x] = True
                rows[size], columns[size] = there_y, there_x
                size += 1
                cosine += math.cos(along[there_y, there_x])
                sine += math.sin(along[there_y, there_x])
                turn = math.atan2(sine, cosine)
    return size


@compiled
def _axis(magnitude, rows, columns):  # pragma: no cover - compiled
    """Centre x and y, direction and width of a region, its pixels weighted with their gradients."""
    total, x, y = 0.0, 0.0, 0.0
    for i in range(len(rows)):
        weight = magnitude[rows[i], columns[i]]
        total, x, y = total + weight, x + weight * columns[i], y + weight * rows[i]
    x, y = x / total, y / total
    xx, xy, yy = 0.0, 0.0, 0.0
    for i in range(len(rows)):
        weight, across, down = magnitude[rows[i], columns[i]] / total, columns[i] - x, rows[i] - y
        xx, xy, yy = xx + weight * across * across, xy + weight * across * down, yy + weight * down * down
    narrow = (xx + yy - math.sqrt((xx - yy) ** 2 + 4 * xy * xy)) / 2
    # an even band of width w has the variance w^2 / 12 across
    return x, y, math.atan2(2 * xy, xx - yy) / 2, math.sqrt(12 * max(narrow, 0.0))
