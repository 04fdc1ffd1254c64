"""Front-to-back blending of Gaussians by their ray response, tile by tile, and its gradient.

Laid out as ``composite_ewa``; the exponent is a quadratic form over a quadratic polynomial of the pixel offset.
"""

import math

import numpy as np

from lyra.raster.kernels.compiler import kernel
from lyra.raster.kernels.exponential import exp_minus_8
from lyra.raster.kernels.layout import TILE
from lyra.raster.options import ALPHA_CLAMP, ALPHA_CUT, STOP_TRANSMITTANCE

_ZERO, _ONE, _HALF, _EIGHT = np.float32(0), np.float32(1), np.float32(0.5), np.float32(8)
_CUT, _CLAMP, _STOP = np.float32(ALPHA_CUT), np.float32(ALPHA_CLAMP), np.float32(STOP_TRANSMITTANCE)
_LANES = np.uint64(TILE)
# Planes of the forward buffer: transmittance, red, green, blue, z.
_P1, _P2, _P3, _P4, _P5 = (np.uint64(k * TILE) for k in range(1, 6))
# Planes of the backward buffer: transmittance, what is still behind, gradient of red, green, blue, z.
_STEP_FORWARD = np.uint64(5 * TILE)
_STEP_BACKWARD = np.uint64(6 * TILE)
_P6, _P7, _P8, _P9, _P10 = (np.uint64(k * TILE) for k in range(6, 11))


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
            lx, ly, pxx, pxy, pyy = rows[g, 12], rows[g, 13], rows[g, 14], rows[g, 15], rows[g, 16]
            j_first = max(0, int(rows[g, 10]) - y_tile)
            j_end = min(TILE, int(rows[g, 11]) - y_tile)
            for j in range(j_first, j_end):
                dy = np.float32(y_tile + j) + _HALF - v
                constant = c * dy * dy
                linear = b * dy
                constant_below = _ONE + dy * (ly + pyy * dy)
                linear_below = lx + pxy * dy
                base = np.uint64(j) * _STEP_FORWARD
                for i in range(_LANES):
                    dx = x_offset + np.float32(i)
                    inverse = _ONE / (constant_below + dx * (linear_below + pxx * dx))
                    t = (constant + dx * (linear + a * dx)) * inverse
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
    sums = np.empty(11 * TILE, np.float32)
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
            lx, ly, pxx, pxy, pyy = rows[g, 12], rows[g, 13], rows[g, 14], rows[g, 15], rows[g, 16]
            j_first = max(0, int(rows[g, 10]) - y_tile)
            j_end = min(TILE, int(rows[g, 11]) - y_tile)
            sums[:] = _ZERO
            for j in range(j_first, j_end):
                dy = np.float32(y_tile + j) + _HALF - v
                constant = c * dy * dy
                linear = b * dy
                constant_below = _ONE + dy * (ly + pyy * dy)
                linear_below = lx + pxy * dy
                base = np.uint64(j) * _STEP_BACKWARD
                for i in range(_LANES):
                    dx = x_offset + np.float32(i)
                    inverse = _ONE / (constant_below + dx * (linear_below + pxx * dx))
                    t = (constant + dx * (linear + a * dx)) * inverse
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
                    above = slope * inverse
                    below = above * t * -_EIGHT
                    sums[i] += slope
                    sums[_P1 + i] += above
                    sums[_P2 + i] += above * dy
                    sums[_P3 + i] += above * dy * dy
                    sums[_P4 + i] += below
                    sums[_P5 + i] += below * dy
                    sums[_P6 + i] += below * dy * dy
                    sums[_P7 + i] += weight * g_red
                    sums[_P8 + i] += weight * g_green
                    sums[_P9 + i] += weight * g_blue
                    sums[_P10 + i] += weight * g_z
            m0, px, py, p_xx, p_xy, p_yy = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
            q0, qx, qy, qxx, qxy, qyy = _ZERO, _ZERO, _ZERO, _ZERO, _ZERO, _ZERO
            w0, w1, w2, w3 = _ZERO, _ZERO, _ZERO, _ZERO
            for i in range(_LANES):
                dx = x_offset + np.float32(i)
                m0 += sums[i]
                px += sums[_P1 + i] * dx
                py += sums[_P2 + i]
                p_xx += sums[_P1 + i] * dx * dx
                p_xy += sums[_P2 + i] * dx
                p_yy += sums[_P3 + i]
                q0 += sums[_P4 + i]
                qx += sums[_P4 + i] * dx
                qy += sums[_P5 + i]
                qxx += sums[_P4 + i] * dx * dx
                qxy += sums[_P5 + i] * dx
                qyy += sums[_P6 + i]
                w0 += sums[_P7 + i]
                w1 += sums[_P8 + i]
                w2 += sums[_P9 + i]
                w3 += sums[_P10 + i]
            moments[row, 0] = m0
            moments[row, 1] = px
            moments[row, 2] = py
            moments[row, 3] = p_xx
            moments[row, 4] = p_xy
            moments[row, 5] = p_yy
            moments[row, 6] = q0
            moments[row, 7] = qx
            moments[row, 8] = qy
            moments[row, 9] = qxx
            moments[row, 10] = qxy
            moments[row, 11] = qyy
            moments[row, 12] = w0
            moments[row, 13] = w1
            moments[row, 14] = w2
            moments[row, 15] = w3
