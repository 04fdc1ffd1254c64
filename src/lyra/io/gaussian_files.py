"""Every file format that one set of Gaussians can be written to and read from, and reading any of them."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from lyra.io.files import reason, require_file
from lyra.io.formats import glb, sog, spz, usd
from lyra.io.formats.archive import open_archive
from lyra.io.formats.compressed_ply import is_compressed_ply, read_compressed_ply, write_compressed_ply
from lyra.io.formats.ply_header import read_ply_header
from lyra.io.formats.splat_file import read_splat, write_splat
from lyra.io.ply import read_ply, write_ply
from lyra.structures import Gaussians, InputError


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
            "INRIA layout, 68 bytes per Gaussian; axes of OpenCV, scene units; nothing is lost",
            write_ply,
            read_ply,
        ),
        GaussianFormat(
            "compressed-ply",
            ".compressed.ply",
            "PlayCanvas, 16 bytes; axes of OpenCV, scene units; order changes, position to 1/2000 of a chunk of 256, "
            "colour and opacity to 8 bits",
            write_compressed_ply,
            read_compressed_ply,
        ),
        GaussianFormat(
            "splat",
            ".splat",
            "antimatter15, 32 bytes; axes of OpenCV, scene units; rotation, colour and opacity to 8 bits",
            write_splat,
            read_splat,
        ),
        GaussianFormat(
            "spz",
            ".spz",
            "Niantic version 3, about 16 bytes; axes x right, y up, z back, scene units; position to 1/8192, scale to "
            "3 %, rotation to 9 bits, colour and opacity to 7 and 8 bits",
            spz.write_spz,
            spz.read_spz,
        ),
        GaussianFormat(
            "sog",
            ".sog",
            "PlayCanvas version 2, about 15 bytes; axes of OpenCV, scene units; order changes, position to 16 bits, "
            "scale and colour to 256 values of the scene, rotation and opacity to 8 bits",
            sog.write_sog,
            sog.read_sog,
        ),
        GaussianFormat(
            "glb",
            ".glb",
            "glTF with KHR_gaussian_splatting, 60 bytes; axes x right, y up, z back, scene units as metres; nothing is "
            "lost",
            glb.write_glb,
            glb.read_glb,
        ),
        GaussianFormat(
            "usd",
            ".usdc",
            "OpenUSD ParticleField3DGaussianSplat, 56 bytes (.usda as text: 180); axes x right, y up, z back, scene "
            "units as metres; nothing is lost",
            usd.write_usd,
            usd.read_usd,
        ),
    )
}
"""By name, in the order in which help lists them."""


def read_gaussians(path: Path | str) -> Gaussians:
    """Read a file of any known format.

    The content decides, not the name; only ``.splat``, which has no mark of its own, is known by its suffix.

    Raises:
        InputError: missing, empty or of no known format; and what the reader of its format raises.
    """
    path = require_file(path, "scene file")
    try:
        name = _format_of(path)
    except OSError as error:
        raise InputError(f"scene file {path} cannot be read ({reason(error)}); check its permissions") from error
    return FORMATS[name].read(path)


def _format_of(path: Path) -> str:
    with path.open("rb") as file:
        start = file.read(8)
        if start.startswith(b"ply"):
            return "compressed-ply" if is_compressed_ply(read_ply_header(path, file)) else "ply"
    if start.startswith(spz.GZIP_MAGIC) or start.startswith(spz.MAGIC):
        return "spz"
    if start.startswith(b"PK"):
        with open_archive(path, "scene file") as archive:
            names = archive.namelist()
            if sog.META in names:
                return "sog"
            # the third kind of archive is a tensor dump under a .ply name
            return "usd" if names and names[0].lower().endswith(usd.LAYERS) else "ply"
    if start.startswith(glb.MAGIC):
        return "glb"
    if start.startswith((usd.BINARY_MAGIC, usd.TEXT_MAGIC)):
        return "usd"
    if path.suffix.lower() == ".splat":
        return "splat"
    raise InputError(
        f"scene file {path} is none of {', '.join(FORMATS)}; give one of them, or the folder that lyra wrote"
    )
