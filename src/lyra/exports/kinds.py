"""What a scene can be exported to, Gaussians remaining Gaussians: single files, and two forms for moving scenes."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lyra.io.formats import fourdgs, usd
from lyra.io.gaussian_files import FORMATS, GaussianFormat
from lyra.io.numbered_files import read_numbered, write_numbered
from lyra.structures import Gaussians, Scene


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
        write: path and scene to disk.
        read: path to the sets of Gaussians.
    """

    name: str
    ending: str
    suffixes: tuple[str, ...]
    summary: str
    moving: bool
    check: Callable[[Path], None]
    write: Callable[[Path, Scene], None]
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
        lambda path, scene: form.write(path, scene.gaussians[0]),
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
            write_numbered,
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
            fourdgs.write_4dgs,
            lambda path: fourdgs.read_4dgs(path)[0],
        ),
    )
}
"""By name, in the order in which help lists them."""
