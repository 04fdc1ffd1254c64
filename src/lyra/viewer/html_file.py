"""A scene as one HTML file that needs nothing else."""

import base64
import zlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from lyra.io.files import replacing
from lyra.structures import Gaussians, Scene, Trajectory
from lyra.viewer.manifest import manifest
from lyra.viewer.packing import pack
from lyra.viewer.page import build_page

PAGE_FILE = "scene.html"
_LEVEL = 5
_WORKERS = 2


class _Packed(NamedTuple):
    text: str
    splats: int
    size: int


def export_html(
    path: Path | str,
    scene: Scene,
    trajectories: Sequence[Trajectory] = (),
    title: str | None = None,
    own_camera: bool = True,
) -> None:
    """Write a page with the viewer and the scene in it; it opens from the file system and asks for nothing.

    Args:
        path: file to write; it appears complete or not at all.
        scene: one set of Gaussians for each time; a scene of several times gets a time line.
        trajectories: camera paths that the page offers to fly along.
        title: of the page; by default the name of the photo or file the scene was made from.
        own_camera: False for Gaussians from elsewhere, which were not made for the pixels of the scene's camera.

    Raises:
        InputError: the place cannot be written.
        ValueError: a value of the scene is not finite.
    """
    with ThreadPoolExecutor(_WORKERS) as pool:  # zlib and numpy work outside the interpreter's lock
        packed = list(pool.map(_deflated, scene.gaussians))
    record = manifest(scene, trajectories, scene_title(scene) if title is None else title, own_camera)
    record["sets"] = [
        {"time": time, "count": one.splats, "bytes": one.size, "source": f"#set-{index}"}
        for index, (time, one) in enumerate(zip(scene.times, packed, strict=True))
    ]
    record["files"] = []
    page = build_page(record, [(f"set-{index}", one.text) for index, one in enumerate(packed)])
    with replacing(path, "page") as temporary:
        temporary.write_text(page, encoding="utf-8")


def scene_title(scene: Scene) -> str:
    """What a scene is called: the photo or the file that it was made from."""
    named = scene.provenance.get("photo") or scene.provenance.get("file")
    return named if isinstance(named, str) else "Scene"


def _deflated(gaussians: Gaussians) -> _Packed:
    data, count = pack(gaussians)
    small = zlib.compress(data, _LEVEL)
    return _Packed(base64.b64encode(small).decode("ascii"), count, len(small))
