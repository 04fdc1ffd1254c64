"""What the page needs to know about a scene besides its Gaussians; viewer/src/manifest.ts names the fields."""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lyra.raster import RenderOptions
from lyra.structures import Cameras, Gaussians, Scene, Trajectory

_DIGITS = 6
_ENOUGH = 20_000
_SEEN = 0.02
_SOLID = 0.1
_ROOM = 1.3


def manifest(scene: Scene, trajectories: Sequence[Trajectory], title: str, own_camera: bool) -> dict[str, Any]:
    """Title, opening camera, blur, focus and camera paths, as plain JSON values.

    Args:
        scene: its source camera opens the page, unless next to nothing can be seen from there.
        trajectories: paths to fly along.
        title: what the page is called.
        own_camera: the Gaussians were made for the pixels of the source camera; their blur then grows with the picture
            on screen, so that no gaps open between them. Otherwise it is that of the screen's pixels.
    """
    sample = _thinned(scene.gaussians[0])
    camera = opening_camera(sample, scene.source)
    return {
        "title": title,
        "camera": {
            "width": camera.width,
            "height": camera.height,
            "pose": _poses(camera)[0],
            "intrinsics": _intrinsics(camera)[0],
        },
        "blur": {"variance": RenderOptions().eps2d, "of": "camera" if own_camera else "screen"},
        "focus": round(focus_depth(sample, camera), _DIGITS),
        "trajectories": [
            {"name": path.name, "poses": _poses(path.cameras), "intrinsics": _intrinsics(resized)}
            for path in trajectories
            for resized in [path.cameras.resized(camera.height, camera.width)]
        ],
    }


def focus_depth(gaussians: Gaussians, camera: Cameras) -> float:
    """z of what one looks at: the median over the solid Gaussians in the middle half of the picture; 1 if empty."""
    u, v, z = _project(gaussians, camera)
    central = (u - 0.5).abs().maximum((v - 0.5).abs()) < 0.25
    depths = z[central & (z > 0) & (gaussians.opacities > _SOLID)]
    return float(depths.median()) if len(depths) else 1.0


def opening_camera(gaussians: Gaussians, source: Cameras) -> Cameras:
    """The source camera; if it sees next to nothing, one that looks along its axis at the whole scene."""
    u, v, z = _project(gaussians, source)
    seen = (z > 0) & (u > 0) & (u < 1) & (v > 0) & (v < 1)
    if not len(z) or float(seen.float().mean()) >= _SEEN:
        return source
    low, high = (torch.quantile(gaussians.means, share, dim=0) for share in (0.05, 0.95))
    c2w = source.c2w.clone()
    half_height = source.height / 2 / float(source.K[0, 1, 1])
    distance = _ROOM * float((high - low).norm()) / 2 / half_height
    c2w[0, :3, 3] = (low + high) / 2 - distance * c2w[0, :3, 2]
    return Cameras(c2w, source.K, source.height, source.width)


def _project(gaussians: Gaussians, camera: Cameras) -> tuple[Tensor, Tensor, Tensor]:
    """[N] each: place in the picture, 0…1 across and down, and z."""
    x, y, z = (gaussians.means @ camera.w2c[0, :3, :3].mT + camera.w2c[0, :3, 3]).unbind(1)
    K, ahead = camera.K[0], z.clamp(min=1e-6)
    u, v = K[0, 0] * x / ahead + K[0, 2], K[1, 1] * y / ahead + K[1, 2]
    return u / camera.width, v / camera.height, z


def _thinned(gaussians: Gaussians) -> Gaussians:
    """Enough of them, evenly chosen, to tell where the scene lies."""
    return gaussians[:: len(gaussians) // _ENOUGH + 1].to("cpu")


def _poses(cameras: Cameras) -> list[list[float]]:
    return [[round(value, _DIGITS) for value in pose.flatten().tolist()] for pose in cameras.c2w[:, :3]]


def _intrinsics(cameras: Cameras) -> list[list[float]]:
    return [[round(float(K[i, j]), _DIGITS) for i, j in ((0, 0), (1, 1), (0, 2), (1, 2))] for K in cameras.K]
