"""Every file format that one set of Gaussians can be written to and read from."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lyra.io.ply import read_ply, write_ply
from lyra.structures import Gaussians


@dataclass(frozen=True)
class GaussianFormat:
    """One file format.

    Attributes:
        name: what the command line calls it.
        suffix: how the names of its files end, with the dot.
        summary: one line: axes, units, what is lost.
        write: path and Gaussians (OpenCV axes, activated) to a file that appears complete or not at all.
        read: path to Gaussians (OpenCV axes, activated); raises InputError for a file that is none of its kind.
    """

    name: str
    suffix: str
    summary: str
    write: Callable[[Path, Gaussians], None]
    read: Callable[[Path], Gaussians]


FORMATS: dict[str, GaussianFormat] = {
    each.name: each
    for each in (
        GaussianFormat(
            "ply",
            ".ply",
            "INRIA layout, 68 bytes per Gaussian; OpenCV axes, scene units; nothing is lost",
            write_ply,
            read_ply,
        ),
    )
}
