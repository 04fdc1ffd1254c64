"""What a scene can be exported to, Gaussians remaining Gaussians: single files, and two forms for moving scenes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lyra.exports.page import read_page
from lyra.io.formats import fourdgs, usd
from lyra.io.gaussian_files import FORMATS, GaussianFormat
from lyra.io.numbered_files import read_numbered, write_numbered
from lyra.structures import Gaussians, Scene, Trajectory
from lyra.viewer import export_html


@dataclass(frozen=True)
class Subject:
    """What is exported.

    Attributes:
        scene: the Gaussians.
        trajectories: the camera paths that it was made along; none if that is not known.
        own_camera: it was made for the pixels of its source camera, as scenes of this package are.
    """

    scene: Scene
    trajectories: tuple[Trajectory, ...]
    own_camera: bool


@dataclass(frozen=True)
class Kind:
    """One form of a scene on disk.

    Attributes:
        name: what the command line calls it.
        ending: of the default name of its files.
        suffixes: that a file may have; empty for a folder.
        summary: one line: axes, units, what is lost.
        moving: it holds every time of a scene; otherwise the first.
        check: raises InputError where the package that it needs is missing; gets the path.
        write: to a path.
        read: path to the sets of Gaussians.
    """

    name: str
    ending: str
    suffixes: tuple[str, ...]
    summary: str
    moving: bool
    check: Callable[[Path], None]
    write: Callable[[Path, Subject], None]
    read: Callable[[Path], tuple[Gaussians, ...]]


def _nothing_needed(path: Path) -> None:
    """Most formats need no package."""


def _single(form: GaussianFormat) -> Kind:
    needs_usd = form.name == "usd"
    return Kind(
        form.name,
        form.suffix,
        (*usd.LAYERS, usd.PACKAGE) if needs_usd else (Path(f"x{form.suffix}").suffix,),
        form.summary,
        False,
        usd.require_usd if needs_usd else _nothing_needed,
        lambda path, subject: form.write(path, subject.scene.gaussians[0]),
        lambda path: (form.read(path),),
    )


KINDS: dict[str, Kind] = {
    each.name: each
    for each in (
        *map(_single, FORMATS.values()),
        Kind(
            "frames",
            "-frames",
            (),
            "a folder of 000.ply, 001.ply … with cameras.json; 68 bytes per Gaussian and time; axes of OpenCV, scene "
            "units; nothing is lost",
            True,
            _nothing_needed,
            lambda path, subject: write_numbered(path, subject.scene),
            lambda path: read_numbered(path)[0],
        ),
        Kind(
            "4dgs",
            ".4dgs",
            (".4dgs",),
            "fourdgs container; axes x right, y up, z back, scene units as metres; order changes, position to 1/50 of "
            "the median size, size to 0.5 %, colour and opacity to 8 bits",
            True,
            fourdgs.require_fourdgs,
            lambda path, subject: fourdgs.write_4dgs(path, subject.scene),
            lambda path: fourdgs.read_4dgs(path)[0],
        ),
        Kind(
            "html",
            ".html",
            (".html",),
            "one page for any browser; axes of OpenCV, scene units; order changes, position to 16 bits of a group of "
            "256, rotation to 10, the rest to 8; Gaussians too faint to be drawn are left out",
            True,
            _nothing_needed,
            lambda path, subject: export_html(path, subject.scene, subject.trajectories, None, subject.own_camera),
            read_page,
        ),
    )
}
"""By name, in the order in which help lists them."""
