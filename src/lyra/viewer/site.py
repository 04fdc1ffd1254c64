"""Everything that the server of one scene may hand out: a fixed table, made before the first request."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from lyra.structures import Scene, Trajectory
from lyra.viewer.html_file import scene_title
from lyra.viewer.manifest import manifest
from lyra.viewer.packing import pack
from lyra.viewer.page import build_page, content_policy

_KINDS = {".json": "application/json", ".mp4": "video/mp4", ".png": "image/png"}
_SCENE_FILES = ("scene.ply", "cameras.json", "preview.mp4", "contact_sheet.png", "frames/*.ply")


@dataclass(frozen=True)
class Resource:
    """One thing that can be asked for.

    Attributes:
        body: the content, or the regular file that holds it.
        kind: MIME type.
    """

    body: bytes | Path
    kind: str


@dataclass(frozen=True)
class Site:
    """What may be asked for.

    Attributes:
        resources: address below the secret prefix, percent-encoded → resource; the page has the empty address.
        policy: content security policy of every answer.
    """

    resources: Mapping[str, Resource]
    policy: str


def scene_site(scene: Scene, trajectories: Sequence[Trajectory], source: Path, own_camera: bool) -> Site:
    """The page of a scene, its packed Gaussians, and the files that it was read from.

    Args:
        scene: what to show.
        trajectories: camera paths to fly along.
        source: the scene folder or the file that ``scene`` was read from.
        own_camera: see `export_html`.
    """
    files = _files_of(source)
    resources = {f"files/{quote(name)}": Resource(file, _kind(file)) for name, file in files.items()}
    record = manifest(scene, trajectories, scene_title(scene), own_camera)
    record["sets"] = []
    for index, (time, gaussians) in enumerate(zip(scene.times, scene.gaussians, strict=True)):
        data, count = pack(gaussians)
        name = f"sets/{index}.bin"
        resources[name] = Resource(data, "application/octet-stream")
        record["sets"].append({"time": time, "count": count, "bytes": len(data), "source": name})
    record["files"] = [
        {"name": name, "address": f"files/{quote(name)}", "bytes": file.stat().st_size} for name, file in files.items()
    ]
    resources[""] = Resource(build_page(record).encode(), "text/html; charset=utf-8")
    return Site(resources, content_policy(connect="'self'") + "; frame-ancestors 'none'")


def _files_of(source: Path) -> dict[str, Path]:
    """Regular files of a scene by name, the Gaussians first; links are left out, for a link may lead anywhere."""
    root = source.resolve()
    if not root.is_dir():
        return {root.name: root}
    found = (file for pattern in _SCENE_FILES for file in sorted(root.glob(pattern)))
    return {file.relative_to(root).as_posix(): file for file in found if file.is_file() and file.resolve() == file}


def _kind(file: Path) -> str:
    return _KINDS.get(file.suffix.lower(), "application/octet-stream")
