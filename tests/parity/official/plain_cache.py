"""The published 3D cache written once more in NumPy, float64, pixel by pixel, from its description alone."""

import math

import numpy as np


def unproject(depth, K, w2c):
    """[H, W, 3]: X = w2c⁻¹ (depth K⁻¹ (x, y, 1)) at integer pixels; no point (0, 0, 0) for depth <= 0."""
    points = np.zeros((*depth.shape, 3))
    inverse, back = np.linalg.inv(K), np.linalg.inv(w2c)
    for y in range(depth.shape[0]):
        for x in range(depth.shape[1]):
            if depth[y, x] > 0:
                camera = depth[y, x] * (inverse @ np.array([x, y, 1.0]))
                points[y, x] = (back @ np.append(camera, 1.0))[:3]
    return points


def reliable(depth, threshold=0.05):
    """[H, W] bool: (max - min) / (mean + 1e-6) of the 5x5 window below the threshold; the mean counts zeros outside."""
    height, width = depth.shape
    keep = np.zeros(depth.shape, bool)
    for y in range(height):
        for x in range(width):
            window = depth[max(y - 2, 0) : y + 3, max(x - 2, 0) : x + 3]
            ratio = (window.max() - window.min()) / (window.sum() / 25 + 1e-6)
            keep[y, x] = ratio < threshold and depth[y, x] > 0
    return keep


def splat(items, height, width):
    """Splat items (points [N, 3], colours [N, 3], weights [N], w2c, K) whose depth weights share one maximum.

    Returns colour [3, H, W] (-1 in holes), depth [H, W] (0 in holes) and mask [H, W] of each.
    """
    cameras = [points @ w2c[:3, :3].T + w2c[:3, 3] for points, _, _, w2c, _ in items]
    largest = max(math.log(1 + max(z, 0.0)) for camera in cameras for z in camera[:, 2])
    results = []
    for (_, colours, weights, _, K), camera in zip(items, cameras, strict=True):
        total = np.zeros((height + 2, width + 2, 4))  # with a border for what falls outside
        weight = np.zeros((height + 2, width + 2))
        for point, colour, w in zip(camera, colours, weights, strict=True):
            z = point[2]
            if z <= 0 or w == 0:
                continue
            x, y = (K @ point)[:2] / (z + 1e-7)
            d = math.exp(min(50 * math.log(1 + z) / (largest + 1e-7), 80)) + 1e-7
            columns = {}
            for c, share in ((math.floor(x), 1 - (x - math.floor(x))), (math.ceil(x), 1 - (math.ceil(x) - x))):
                columns[c] = columns.get(c, 0) + share  # a whole number is its own floor and ceiling
            rows = {}
            for r, share in ((math.floor(y), 1 - (y - math.floor(y))), (math.ceil(y), 1 - (math.ceil(y) - y))):
                rows[r] = rows.get(r, 0) + share
            for c, a in columns.items():
                for r, b in rows.items():
                    if -1 <= c <= width and -1 <= r <= height:
                        total[r + 1, c + 1] += a * b * w / d * np.append(colour, z)
                        weight[r + 1, c + 1] += a * b * w / d
        total, weight = total[1:-1, 1:-1], weight[1:-1, 1:-1]
        mask = weight > 0
        mean = total / np.where(mask, weight, 1)[..., None]
        colour = np.where(mask[..., None], np.clip(mean[..., :3], -1, 1), -1.0)
        results.append((colour.transpose(2, 0, 1), np.where(mask, mean[..., 3], 0), mask))
    return results


def quarter(camera_points, boundary):
    """Bilinear resize to H/4 x W/4 of the points, nearest of the mask; corners not aligned."""
    rows, columns = camera_points.shape[0] // 4, camera_points.shape[1] // 4
    grid, edge = np.zeros((rows, columns, 3)), np.zeros((rows, columns), bool)
    for r in range(rows):
        for c in range(columns):
            y, x = (r + 0.5) * 4 - 0.5, (c + 0.5) * 4 - 0.5
            y0, x0 = int(y), int(x)
            for yy, b in ((y0, 1 - (y - y0)), (y0 + 1, y - y0)):
                for xx, a in ((x0, 1 - (x - x0)), (x0 + 1, x - x0)):
                    grid[r, c] += a * b * camera_points[yy, xx]
            edge[r, c] = boundary[4 * r, 4 * c]
    return grid, edge


def mesh_depth(camera_points, boundary, K):
    """[H, W] z of the nearest surface over depth edges along the ray of each pixel, infinity where there is none."""
    height, width = boundary.shape
    grid, edge = quarter(camera_points, boundary)
    triangles = []
    for r in range(len(grid) - 1):
        for c in range(len(grid[0]) - 1):
            if edge[r : r + 2, c : c + 2].any():
                tl, tr, bl, br = grid[r, c], grid[r, c + 1], grid[r + 1, c], grid[r + 1, c + 1]
                triangles += [(tl, tr, bl), (tr, br, bl)]
    nearest = np.full((height, width), np.inf)
    y, x = np.mgrid[:height, :width].astype(float)
    rays = np.stack([x, y, np.ones_like(x)], axis=-1) @ np.linalg.inv(K).T
    rays /= np.linalg.norm(rays, axis=-1, keepdims=True)
    for a, b, c in triangles:
        p = np.cross(rays, c - a)
        determinant = p @ (b - a)
        usable = np.abs(determinant) > 1e-8
        determinant = np.where(usable, determinant, 1)
        q = np.cross(-a, b - a)
        u, v, t = -p @ a / determinant, rays @ q / determinant, (c - a) @ q / determinant
        hit = usable & (u >= 0) & (v >= 0) & (u + v <= 1) & (t > 1e-8)
        nearest = np.where(hit & (t * rays[..., 2] < nearest), t * rays[..., 2], nearest)
    return nearest


def hide(rendered, points, boundary, w2c, K):
    """Foreground masking of one render."""
    colour, depth, mask = rendered
    surface = mesh_depth(points @ w2c[:3, :3].T + w2c[:3, 3], boundary, K)
    closer = np.isfinite(surface) & (surface + 0.02 < depth)
    return np.where(closer, -1.0, colour), np.where(closer, 0.0, depth), mask & ~closer


def affine_in_inverse_depth(depth, reference, mask):
    """1 / (a / D + b), fitted between the 10 % and 90 % quantiles of each inverse map."""
    u, v = 1 / depth, 1 / np.where(mask & (reference > 0), reference, np.nan)
    low_u, high_u = np.quantile(u[u > 0], [0.1, 0.9])
    low_v, high_v = np.quantile(v[np.isfinite(v)], [0.1, 0.9])
    keep = (u > low_u) & (u < high_u) & (v > low_v) & (v < high_v)
    design = np.stack([u[keep], np.ones(keep.sum())], axis=1)
    (a, b), *_ = np.linalg.lstsq(design, v[keep], rcond=None)
    return 1 / (a * u + b)


def non_rigid(depth, reference, mask, K, c2w, steps=100, rate=1e-3):
    """The factor per pixel by Adam with gradients written out; unprojection with the pose the wrong way round."""
    height, width = depth.shape
    inverse, back = np.linalg.inv(K), np.linalg.inv(c2w)
    factor, first, second = np.ones(depth.shape), np.zeros(depth.shape), np.zeros(depth.shape)
    rays = np.zeros((height, width, 3))
    for y in range(height):
        for x in range(width):
            rays[y, x] = back[:3, :3] @ (inverse @ np.array([x, y, 1.0]))
    count = 3 * mask.sum()
    for step in range(1, steps + 1):
        difference = (factor * depth - reference)[..., None] * rays
        gradient = np.where(mask, (np.sign(difference) * depth[..., None] * rays).sum(-1) / count, 0.0)
        padded = np.pad(factor, 1)
        smooth = sum(padded[i : i + height, j : j + width] * (1 / 9) for i in range(3) for j in range(3))
        sign = np.sign(smooth - factor)
        padded_sign = np.pad(sign, 1)
        spread = sum(padded_sign[i : i + height, j : j + width] / 9 for i in range(3) for j in range(3))
        gradient += 0.1 * (spread - sign) / factor.size
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        factor = factor - rate * (first / (1 - 0.9**step)) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
    return factor * depth


class Cache:
    """Sources newest first; colours -1…1."""

    def __init__(self, rgb, depth, w2c, K, buffers=2, threshold=0.05):
        depth = np.clip(np.nan_to_num(depth, nan=100.0), 0, 100)
        self.buffers, self.threshold = buffers, threshold
        self.sources = [(unproject(depth, K, w2c), rgb, reliable(depth, threshold))]
        self.boundary = ~reliable(depth)

    def seen(self, w2cs, Ks):
        """[T][N] renders; renders are weighted in pairs, in the order frames, then sources."""
        height, width = self.boundary.shape
        items = [(w2c, K, source) for w2c, K in zip(w2cs, Ks, strict=True) for source in self.sources]
        renders = []
        for start in range(0, len(items), 2):
            pair = items[start : start + 2]
            splatted = splat(
                [(p.reshape(-1, 3), c.reshape(3, -1).T, w.reshape(-1), w2c, K) for w2c, K, (p, c, w) in pair],
                height,
                width,
            )
            renders += [
                hide(one, points, self.boundary, w2c, K)
                for one, (w2c, K, (points, _, _)) in zip(splatted, pair, strict=True)
            ]
        n = len(self.sources)
        return [renders[i : i + n] for i in range(0, len(renders), n)]

    def update(self, rgb, depth, w2c, K):
        """Take in a picture whose depth has been aligned."""
        source = (unproject(depth, K, w2c), rgb, reliable(depth, self.threshold))
        if len(self.sources) < self.buffers:
            self.sources.insert(0, source)
        else:
            self.sources[0] = source
