"""One scene to one format: written aside, read again, looked at, and only then put in its place."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from lyra.exports.cameras import cameras_to_compare, paths_of
from lyra.exports.compare import compare
from lyra.exports.kinds import KINDS, Kind, Subject
from lyra.exports.mesh import MeshOptions, build_mesh, require_mesh_packages
from lyra.exports.mesh.likeness import MeshLikeness, mesh_likeness
from lyra.exports.staging import staged
from lyra.io.formats.mesh_glb import read_mesh_glb, write_mesh_glb
from lyra.io.gaussian_files import FORMATS
from lyra.io.scene_folder import CAMERAS_FILE, load_scene, read_trajectories
from lyra.structures import Cameras, InputError, Scene

MESH = "mesh-glb"
_MESH_SUMMARY = (
    "triangles with vertex colours, and a collider beside them; axes x right, y up, z back, scene units as metres; "
    "lost is everything that is not a solid surface, and what few cameras see"
)
SMALLEST_PSNR = 35.0
LARGEST_DEPTH_ERROR, SMALLEST_COVERAGE = 0.02, 0.5
_EVERY = 4

Progress = Callable[[str, int, int], None]
"""Told what is being done, how much of it is done, and of how much."""


@dataclass(frozen=True)
class ExportReport:
    """What was written, and how close it is.

    Attributes:
        files: what appeared; for a mesh its collider too.
        kind: name of the format.
        summary: axes, units, what is lost.
        size: bytes of all files together.
        count: Gaussians written, of all times; triangles of a mesh.
        psnr: dB of the worst view against the original; infinite where every pixel is the same. Of a mesh, over the
            pixels that it covers.
        mean_psnr: dB, mean over the views.
        views: how many views were compared.
        notes: what else the user should know, a sentence each.
    """

    files: tuple[Path, ...]
    kind: str
    summary: str
    size: int
    count: int
    psnr: float
    mean_psnr: float
    views: int
    notes: tuple[str, ...] = ()


def export(
    scene: Scene | Path | str,
    to: str,
    out: Path | str | None = None,
    force: bool = False,
    progress: Progress = lambda what, done, total: None,
) -> ExportReport:
    """Write a scene in another format.

    What was written is read again and rendered from the source camera and from cameras along the trajectories. If a
    view has less than 35 dB against the original (a mesh: depth off by more than 2 % in the median, or less than half
    of the solid surface covered), nothing is left behind.

    Args:
        scene: a scene folder, a file of Gaussians in any known format, or the scene itself.
        to: ``ply``, ``compressed-ply``, ``splat``, ``spz``, ``sog``, ``glb``, ``usd``, ``frames``, ``4dgs``,
            ``html`` or ``mesh-glb``.
        out: file (for ``frames`` folder) to write; by default beside the input, with its name.
        force: keep the result however far it is from the original.
        progress: told about rendering and fusing.

    Raises:
        InputError: unknown format; nothing to read; the place cannot be written; a package of an extra is missing; the
            format cannot hold the scene; or the result is too far from the original.
    """
    if to not in (*KINDS, MESH):
        raise InputError(f"unknown format '{to}'; choose from {', '.join((*KINDS, MESH))}")
    if out is None and isinstance(scene, Scene):
        raise InputError("a scene in memory has no name; say where to write it (out)")
    origin = None if isinstance(scene, Scene) else Path(scene)
    target = Path(out) if out is not None else default_target(Path(scene), to)  # type: ignore[arg-type]
    require_target(target, to, origin)
    if to == MESH:
        require_mesh_packages()
    else:
        KINDS[to].check(target)
    subject = Subject(scene, (), True) if isinstance(scene, Scene) else _read(Path(scene))
    with torch.no_grad():
        if to == MESH:
            return _export_mesh(subject, target, force, progress)
        return _export_gaussians(subject, KINDS[to], target, force, progress)


def _read(origin: Path) -> Subject:
    scene, ours = load_scene(origin), (origin / CAMERAS_FILE).is_file()
    return Subject(scene, read_trajectories(origin) if ours else (), ours)


def default_target(origin: Path, to: str) -> Path:
    """Where an export lands if nobody says: beside the input, with its name.

    Args:
        origin: scene folder or file of Gaussians.
        to: name of the format.
    """
    origin = origin.resolve()
    name = origin.name
    if not origin.is_dir():
        # of endings like .ply and .compressed.ply the longer one counts
        endings = [each.suffix for each in FORMATS.values() if name.lower().endswith(each.suffix)]
        name = name[: len(name) - len(max([origin.suffix, *endings], key=len))]
    ending = ".mesh.glb" if to == MESH else KINDS[to].ending
    return origin.with_name(f"{name}{ending}")


def require_target(target: Path, to: str, origin: Path | None) -> None:
    """Refuse a target that cannot be right.

    Raises:
        InputError: it has another suffix than the format's files, is a folder where a file is asked for (or the
            reverse), or is the input.
    """
    if origin is not None and target.exists() and origin.exists() and target.samefile(origin):
        raise InputError(f"output {target} is the input itself; give another name with -o")
    suffixes = (".glb",) if to == MESH else KINDS[to].suffixes
    if not suffixes:
        if target.exists() and not (target.is_dir() and not any(target.iterdir())):
            raise InputError(f"output {target} exists; give the name of a new folder with -o")
        return
    if target.is_dir():
        raise InputError(f"output {target} is a folder; give a file name ending in {' or '.join(suffixes)} with -o")
    if target.suffix.lower() not in suffixes:
        raise InputError(f"output {target} should end in {' or '.join(suffixes)}; give another name with -o")


def _export_gaussians(subject: Subject, kind: Kind, target: Path, force: bool, progress: Progress) -> ExportReport:
    scene, notes = subject.scene, []
    if len(scene.times) > 1 and not kind.moving:
        notes.append(f"the scene moves; this format holds the first of its {len(scene.times)} times")
    sets = scene.gaussians if kind.moving else scene.gaussians[:1]
    with staged([target]) as (temporary,):
        progress("write", 0, 1)
        kind.write(temporary, subject)
        found = kind.read(temporary)
        progress("write", 1, 1)
        cameras = cameras_to_compare(scene, subject.trajectories)
        likeness = compare(sets, found, cameras, lambda done, total: progress("compare", done, total))
        if likeness.worst < SMALLEST_PSNR:
            complaint = f"as {kind.name} the scene looks different: {likeness.worst:.1f} dB in the worst view"
            if not force:
                raise InputError(f"{complaint}, below {SMALLEST_PSNR:g}; choose another format, or add --force")
            notes.append(f"{complaint}, below {SMALLEST_PSNR:g}")
        size = _size(temporary)
    count = sum(map(len, found))
    return ExportReport(
        (target,), kind.name, kind.summary, size, count, likeness.worst, likeness.mean, likeness.views, tuple(notes)
    )


def _export_mesh(subject: Subject, target: Path, force: bool, progress: Progress) -> ExportReport:
    scene, notes = subject.scene, []
    if len(scene.times) > 1:
        notes.append(f"the scene moves; the mesh is that of the first of its {len(scene.times)} times")
    gaussians, options = scene.gaussians[0], MeshOptions()
    paths = paths_of(scene, subject.trajectories)
    size = (scene.source.height, scene.source.width)
    resized = [path.cameras[::_EVERY].resized(*size) for path in paths]
    views = Cameras(torch.cat([each.c2w for each in resized]), torch.cat([each.K for each in resized]), *size)
    mesh, collider = build_mesh(gaussians, scene.source, views, options, progress)
    targets = [target, target.with_name(f"{_stem(target)}.collider.glb")]
    with staged(targets) as (first, second):
        write_mesh_glb(first, mesh, "Scene")
        write_mesh_glb(second, collider, "Collider", with_colors=False)
        cameras = cameras_to_compare(scene, subject.trajectories)
        seen = mesh_likeness(read_mesh_glb(first), gaussians, cameras)
        plain = mesh_likeness(read_mesh_glb(second), gaussians, cameras)
        if seen.depth_error > LARGEST_DEPTH_ERROR or seen.coverage < SMALLEST_COVERAGE or math.isnan(seen.depth_error):
            complaint = (
                f"as a mesh the scene looks different: depth off by {seen.depth_error:.1%} in the median, "
                f"{seen.coverage:.0%} of the solid surface covered"
            )
            if not force:
                raise InputError(f"{complaint}; export the Gaussians themselves, or add --force")
            notes.append(complaint)
        size_in_all = _size(first) + _size(second)
    notes.append(f"the mesh covers {_fit(seen)}")
    notes.append(f"the collider of {len(collider.triangles):,} triangles covers {_fit(plain)}")
    return ExportReport(
        tuple(targets),
        MESH,
        _MESH_SUMMARY,
        size_in_all,
        len(mesh.triangles),
        seen.worst_psnr,
        seen.mean_psnr,
        len(cameras),
        tuple(notes),
    )


def _fit(likeness: MeshLikeness) -> str:
    return f"{likeness.coverage:.1%} of the solid surface, its depth is off by {likeness.depth_error:.2%} (median)"


def _stem(target: Path) -> str:
    return target.name.removesuffix(target.suffix).removesuffix(".mesh")


def _size(path: Path) -> int:
    """Bytes of a file, or of all files of a folder."""
    return path.stat().st_size if path.is_file() else sum(each.stat().st_size for each in path.iterdir())
