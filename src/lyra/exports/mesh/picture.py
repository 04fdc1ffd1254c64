"""A mesh seen by a camera: depth buffer and vertex colours, for checking what was written."""

import numpy as np
import torch

from lyra.geometry.compiled import compiled
from lyra.structures import Cameras, Mesh, Rendering

_NEAR = 1e-3


def picture_mesh(mesh: Mesh, cameras: Cameras) -> Rendering:
    """Picture ``mesh`` from every camera, over black.

    Triangles are seen from both sides, colours and 1/z run linearly over the picture of each (with the perspective
    correction for colours). A triangle that reaches behind a camera is left out there.

    Returns:
        rgb [T, 3, H, W], depth [T, H, W] (z, 0 where nothing was hit), alpha [T, H, W] 0 or 1.
    """
    vertices = mesh.vertices.double().numpy()
    triangles = np.ascontiguousarray(mesh.triangles.numpy())
    colors = np.ascontiguousarray(mesh.colors.float().numpy())
    size = (len(cameras), cameras.height, cameras.width)
    inverse, rgb = np.zeros(size, np.float32), np.zeros((*size, 3), np.float32)
    for t, (w2c, K) in enumerate(zip(cameras.w2c.double().numpy(), cameras.K.double().numpy(), strict=True)):
        local = vertices @ w2c[:3, :3].T + w2c[:3, 3]
        z = local[:, 2]
        pixels = (local @ K.T)[:, :2] / np.where(z > _NEAR, z, 1)[:, None] - 0.5
        projected = np.concatenate([pixels, 1 / np.where(z > _NEAR, z, -1)[:, None]], axis=1)
        _draw(projected, triangles, colors, inverse[t], rgb[t])
    depth = torch.from_numpy(np.where(inverse > 0, 1 / np.maximum(inverse, 1e-30), 0).astype(np.float32))
    return Rendering(torch.from_numpy(rgb).permute(0, 3, 1, 2).contiguous(), depth, (depth > 0).float())


@compiled
def _draw(projected, triangles, colors, inverse, rgb):  # pragma: no cover - compiled
    """Fill 1/z [H, W] and rgb [H, W, 3]; projected [N, 3] column, row, 1/z (negative behind the camera)."""
    height, width = inverse.shape
    for n in range(triangles.shape[0]):
        i, j, k = triangles[n, 0], triangles[n, 1], triangles[n, 2]
        ax, ay, aw = projected[i, 0], projected[i, 1], projected[i, 2]
        bx, by, bw = projected[j, 0], projected[j, 1], projected[j, 2]
        cx, cy, cw = projected[k, 0], projected[k, 1], projected[k, 2]
        if aw <= 0 or bw <= 0 or cw <= 0:
            continue
        area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
        if area == 0:
            continue
        left, right = min(ax, bx, cx), max(ax, bx, cx)
        top, bottom = min(ay, by, cy), max(ay, by, cy)
        if right < 0 or bottom < 0 or left > width - 1 or top > height - 1:
            continue
        for y in range(max(0, int(np.ceil(top))), min(height - 1, int(np.floor(bottom))) + 1):
            for x in range(max(0, int(np.ceil(left))), min(width - 1, int(np.floor(right))) + 1):
                b = ((x - ax) * (cy - ay) - (y - ay) * (cx - ax)) / area
                c = ((bx - ax) * (y - ay) - (by - ay) * (x - ax)) / area
                a = 1 - b - c
                if a < 0 or b < 0 or c < 0:
                    continue
                a, b, c = a * aw, b * bw, c * cw
                w = a + b + c
                if w > inverse[y, x]:
                    inverse[y, x] = w
                    for channel in range(3):
                        value = a * colors[i, channel] + b * colors[j, channel] + c * colors[k, channel]
                        rgb[y, x, channel] = value / w
