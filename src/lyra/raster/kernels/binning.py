"""Depth order and tile lists of the visible Gaussians of one view."""

import numpy as np

from lyra.raster.kernels.compiler import kernel

_BITS = 11
_BUCKETS = 1 << _BITS


@kernel
def bin_by_tile(depth_bits, tiles, tiles_x, tiles_y):
    """List the visible Gaussians of each tile, near to far, equal depths by index.

    Positive floats order like their bit patterns, so one radix sort over the view followed by one stable counting sort
    into tiles replaces a sort of (tile, depth) pairs.

    Args:
        depth_bits: [N] uint32, bits of the float32 z; 0 marks Gaussians that are not visible.
        tiles: [N, 4] int16, first and end tile in x, then in y.

    Returns:
        offsets [tiles + 1] into entries [E] (index of the Gaussian), first [N] (its first row in a table of E rows
        grouped by Gaussian).
    """
    n = depth_bits.shape[0]
    lowest = np.uint32(0xFFFFFFFF)
    highest = np.uint32(0)
    visible = 0
    entries_total = 0
    first = np.empty(n, np.int32)
    offsets = np.zeros(tiles_x * tiles_y + 2, np.int32)
    for i in range(n):
        bits = depth_bits[i]
        first[i] = entries_total
        if bits != 0:
            lowest = min(lowest, bits)
            highest = max(highest, bits)
            visible += 1
            x0, x1, y0, y1 = tiles[i, 0], tiles[i, 1], tiles[i, 2], tiles[i, 3]
            entries_total += (x1 - x0) * (y1 - y0)
            for y in range(y0, y1):
                for x in range(x0, x1):
                    offsets[y * tiles_x + x + 2] += 1
    keys = np.empty(visible, np.uint32)
    order = np.empty(visible, np.int32)
    k = 0
    for i in range(n):
        if depth_bits[i] != 0:
            keys[k] = depth_bits[i] - lowest
            order[k] = i
            k += 1
    other_keys = np.empty(visible, np.uint32)
    other_order = np.empty(visible, np.int32)
    buckets = np.empty(_BUCKETS, np.int32)
    span = highest - lowest if visible > 0 else np.uint32(0)
    shift = np.uint32(0)
    while shift < 32 and (span >> shift) != 0:
        buckets[:] = 0
        for k in range(visible):
            buckets[(keys[k] >> shift) & np.uint32(_BUCKETS - 1)] += 1
        running = 0
        for j in range(_BUCKETS):
            here = buckets[j]
            buckets[j] = running
            running += here
        for k in range(visible):
            key = keys[k]
            j = (key >> shift) & np.uint32(_BUCKETS - 1)
            place = buckets[j]
            buckets[j] = place + 1
            other_keys[place] = key
            other_order[place] = order[k]
        keys, other_keys = other_keys, keys
        order, other_order = other_order, order
        shift = np.uint32(shift + np.uint32(_BITS))

    # While filling, offsets[t + 1] is the next free place of tile t; afterwards it is the end of t.
    for t in range(2, tiles_x * tiles_y + 2):
        offsets[t] += offsets[t - 1]
    entries = np.empty(entries_total, np.int32)
    for k in range(visible):
        i = order[k]
        x0, x1, y0, y1 = tiles[i, 0], tiles[i, 1], tiles[i, 2], tiles[i, 3]
        for y in range(y0, y1):
            for x in range(x0, x1):
                t = y * tiles_x + x + 1
                place = offsets[t]
                entries[place] = i
                offsets[t] = place + 1
    return offsets[:-1], entries, first
