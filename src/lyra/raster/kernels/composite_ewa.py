"""Front-to-back blending of projected 2D Gaussians, tile by tile, and its gradient.

The inner loop runs over the 16 pixels of one tile row without branches. Each row keeps its planes side by side in one
buffer, at constant distances, and is indexed by unsigned integers: LLVM then needs neither aliasing nor wrap-around
checks and vectorises. A pixel that stopped holds its transmittance with a negative sign.
"""

import math

import numpy as np

from lyra.raster.kernels.compiler import kernel
from lyra.raster.kernels.exponential import exp_minus_8
from lyra.raster.kernels.layout import TILE
from lyra.raster.options import ALPHA_CLAMP, ALPHA_CUT, STOP_TRANSMITTANCE

_ZERO, _ONE, _HALF = np.float32(0), np.float32(1), np.float32(0.5)
_CUT, _CLAMP, _STOP = np.float32(ALPHA_CUT), np.float32(ALPHA_CLAMP), np.float32(STOP_TRANSMITTANCE)
_LANES = np.uint64(TILE)
# Planes of the forward buffer: transmittance, red, green, blue, z.
_P1, _P2, _P3, _P4, _P5 = (np.uint64(k * TILE) for k in range(1, 6))
# Planes of the backward buffer: transmittance, what is still behind, gradient of red, green, blue, z.
_STEP_FORWARD = np.uint64(5 * TILE)
_STEP_BACKWARD = np.uint64(6 * TILE)


@kernel
def composite(first_tile, end_tile, tiles_x, offsets, entries, rows, picture):
    """Blend a range of tiles into ``picture`` [5, H, W]: red, green, blue, accumulated z, alpha."""
    height, width = picture.shape[1], picture.shape[2]
    buffer = np.empty(5 * TILE * TILE, np.float32)
    for tile in range(first_tile, end_tile):
        x_tile = (tile % tiles_x) * TILE
        y_tile = (tile // tiles_x) * TILE
        rows_here = min(TILE, height - y_tile)
        columns_here = min(TILE, width - x_tile)
        buffer[:] = _ZERO
        for j in range(rows_here):
            for i in range(columns_here):
                buffer[j * 5 * TILE + i] = _ONE
        begin = offsets[tile]
        for k in range(begin, offsets[tile + 1]):
            if (k - begin) & 31 == 31:
                left = _ZERO
                for j in range(TILE):
                    base = np.uint64(j) * _STEP_FORWARD
                    for i in range(_LANES):
                        left = max(left, buffer[base + i])
                if left <= _ZERO:
                    break
            g = entries[k]
            x_offset = np.float32(x_tile) + _HALF - rows[g, 0]
            v, a, b, c = rows[g, 1], rows[g, 2], rows[g, 3], rows[g, 4]
            opacity, red, green, blue, z = rows[g, 5], rows[g, 6], rows[g, 7], rows[g, 8], rows[g, 9]
            j_first = max(0, int(rows[g, 10]) - y_tile)
            j_end = min(TILE, int(rows[g, 11]) - y_tile)
            for j in range(j_first, j_end):
                dy = np.float32(y_tile + j) + _HALF - v
                constant = c * dy * dy
                linear = b * dy
                base = np.uint64(j) * _STEP_FORWARD
                for i in range(_LANES):
                    dx = x_offset + np.float32(i)
                    t = constant + dx * (linear + a * dx)
                    alpha = opacity * exp_minus_8(t)
                    alpha = alpha if alpha < _CLAMP else _CLAMP
                    before = buffer[base + i]
                    weight = before * alpha
                    after = before - weight
                    hit = (t >= _ZERO) & (alpha >= _CUT) & (before > _ZERO)
                    goes_on = after > _STOP
                    weight = weight if hit & goes_on else _ZERO
                    buffer[base + i] = (after if goes_on else -before) if hit else before
                    buffer[base + _P1 + i] += weight * red
                    buffer[base + _P2 + i] += weight * green
                    buffer[base + _P3 + i] += weight * blue
                    buffer[base + _P4 + i] += weight * z
        for j in range(rows_here):
            for i in range(columns_here):
                cell = j * 5 * TILE + i
                y, x = y_tile + j, x_tile + i
                picture[0, y, x] = buffer[cell + TILE]
                picture[1, y, x] = buffer[cell + 2 * TILE]
                picture[2, y, x] = buffer[cell + 3 * TILE]
                picture[3, y, x] = buffer[cell + 4 * TILE]
                picture[4, y, x] = _ONE - math.fabs(buffer[cell])


@kernel
def composite_backward(first_tile, end_tile, tiles_x, offsets, entries, rows, tiles, first, picture, gradient, moments):
    """Write one row of ``moments`` for every entry of a range of tiles, given dL/d``picture``.

    Goes front to back again. With T the transmittance in front, R = sum of the weights still to come times their
    gradient minus dL/dalpha_pixel times the final transmittance: dL/dalpha = T (c . g) - R / (1 - alpha).
    """
    height, width = picture.shape[1], picture.shape[2]
    buffer = np.empty(6 * TILE * TILE, np.float32)
    sums = np.empty(7 * TILE, np.float32)
    for tile in range(first_tile, end_tile):
        tile_x, tile_y = tile % tiles_x, tile // tiles_x
        x_tile, y_tile = tile_x * TILE, tile_y * TILE
        rows_here = min(TILE, height - y_tile)
        columns_here = min(TILE, width - x_tile)
        buffer[:] = _ZERO
        for j in range(rows_here):
            for i in range(columns_here):
                cell = j * 6 * TILE + i
                y, x = y_tile + j, x_tile + i
                behind = -gradient[4, y, x] * (_ONE - picture[4, y, x])
                for channel in range(4):
                    behind += gradient[channel, y, x] * picture[channel, y, x]
                    buffer[cell + (2 + channel) * TILE] = gradient[channel, y, x]
                buffer[cell] = _ONE
                buffer[cell + TILE] = behind
        begin = offsets[tile]
        finished = False
        for k in range(begin, offsets[tile + 1]):
            g = entries[k]
            row = first[g] + (tile_y - tiles[g, 2]) * (tiles[g, 1] - tiles[g, 0]) + tile_x - tiles[g, 0]
            if (k - begin) & 31 == 31 and not finished:
                left = _ZERO
                for j in range(TILE):
                    base = np.uint64(j) * _STEP_BACKWARD
                    for i in range(_LANES):
                        left = max(left, buffer[base + i])
                finished = bool(left <= _ZERO)
            if finished:
                moments[row] = _ZERO
                continue
            x_offset = np.float32(x_tile) + _HALF - rows[g, 0]
            v, a, b, c = rows[g, 1], rows[g, 2], rows[g, 3], rows[g, 4]
            opacity, red, green, blue, z = rows[g, 5], rows[g, 6], rows[g, 7], rows[g, 8], rows[g, 9]
            j_first = max(0, int(rows[g, 10]) - y_tile)
            j_end = min(TILE, int(rows[g, 11]) - y_tile)
            sums[:] = _ZERO
            for j in range(j_first, j_end):
                dy = np.float32(y_tile + j) + _HALF - v
                constant = c * dy * dy
                linear = b * dy
                base = np.uint64(j) * _STEP_BACKWARD
                for i in range(_LANES):
                    dx = x_offset + np.float32(i)
                    t = constant + dx * (linear + a * dx)
                    full = opacity * exp_minus_8(t)
                    free = full < _CLAMP
                    alpha = full if free else _CLAMP
                    before = buffer[base + i]
                    weight = before * alpha
                    after = before - weight
                    hit = (t >= _ZERO) & (alpha >= _CUT) & (before > _ZERO)
                    goes_on = after > _STOP
                    counts = hit & goes_on
                    weight = weight if counts else _ZERO
                    buffer[base + i] = (after if goes_on else -before) if hit else before
                    g_red, g_green = buffer[base + _P2 + i], buffer[base + _P3 + i]
                    g_blue, g_z = buffer[base + _P4 + i], buffer[base + _P5 + i]
                    along = red * g_red + green * g_green + blue * g_blue + z * g_z
                    behind = buffer[base + _P1 + i] - weight * along
                    buffer[base + _P1 + i] = behind
                    slope = alpha * (behind / (_ONE - alpha) - before * along)
                    slope = slope if counts & free else _ZERO
                    sums[i] += slope
                    sums[_P1 + i] += slope * dy
                    sums[_P2 + i] += slope * dy * dy
                    sums[_P3 + i] += weight * g_red
                    sums[_P4 + i] += weight * g_green
                    sums[_P5 + i] += weight * g_blue
                    sums[_STEP_BACKWARD + i] += weight * g_z
            m0, mx, my, mxx, mxy, myy = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
            w0, w1, w2, w3 = _ZERO, _ZERO, _ZERO, _ZERO
            for i in range(_LANES):
                dx = x_offset + np.float32(i)
                m0 += sums[i]
                mx += sums[i] * dx
                mxx += sums[i] * dx * dx
                my += sums[_P1 + i]
                mxy += sums[_P1 + i] * dx
                myy += sums[_P2 + i]
                w0 += sums[_P3 + i]
                w1 += sums[_P4 + i]
                w2 += sums[_P5 + i]
                w3 += sums[_STEP_BACKWARD + i]
            moments[row, 0] = m0
            moments[row, 1] = mx
            moments[row, 2] = my
            moments[row, 3] = mxx
            moments[row, 4] = mxy
            moments[row, 5] = myy
            moments[row, 6] = w0
            moments[row, 7] = w1
            moments[row, 8] = w2
            moments[row, 9] = w3
