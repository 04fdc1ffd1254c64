"""``lyra export``: a scene for other programs."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.sizes import seconds

if TYPE_CHECKING:
    from lyra.exports import ExportReport

_ROUNDING = 100
"""dB from which two pictures differ by rounding in float32, if at all."""
Format = Literal["ply", "compressed-ply", "splat", "spz", "sog", "glb", "usd", "frames", "4dgs", "html", "mesh-glb"]


@dataclass(frozen=True)
class Export:
    """Write a scene in a format of other programs.

    lyra export out/photo --to glb
    lyra export out/photo --to spz -o web/photo.spz
    lyra export scene.ply --to usd
    lyra export out/photo --to mesh-glb
    """

    scene: Annotated[Positional[Path], arg(metavar="SCENE")]
    """Scene folder, or a file of Gaussians (.ply, .spz, .sog, .splat, .glb, .usdc …)."""
    to: Annotated[Format, arg(metavar="FORMAT")]
    """ply, compressed-ply, splat, spz, sog, glb or usd; frames or 4dgs for a moving scene; html for a page to look
    around in; mesh-glb for triangles and a collider. docs/formats.md tells axes, units, sizes and who opens them."""
    out: Annotated[Path | None, arg(aliases=["-o"], metavar="FILE", help_behavior_hint="")] = None
    """File to write; by default beside the scene, with its name."""
    force: bool = False
    """Keep the result even if it looks different from the scene (below 35 dB)."""

    def run(self) -> int:
        """Check, write, read again, compare, report."""
        start = time.perf_counter()

        from lyra.cli.progress import Counter
        from lyra.exports import export

        with Counter() as counter:
            report = export(self.scene, self.to, self.out, self.force, counter)
        _print(report, time.perf_counter() - start)
        return 0

    def interrupted(self) -> str:
        """The file appears only at the end."""
        return "nothing was written"


def _print(report: "ExportReport", total: float) -> None:
    unit = "triangles" if report.kind == "mesh-glb" else "Gaussians"
    for file in report.files:
        print(f"file       {file}")
    print(f"format     {report.kind}: {report.summary}")
    print(f"{unit:<10} {report.count:,}")
    print(f"size       {report.size / 1e6:.2f} MB, {report.size / report.count:.1f} bytes each")
    print(f"PSNR       {_decibel(report.psnr)} in the worst of {report.views} views, {_decibel(report.mean_psnr)} mean")
    for note in report.notes:
        print(f"note: {note}")
    print(f"time       {seconds(total)} in all")


def _decibel(value: float) -> str:
    return f"{value:.1f} dB" if value < _ROUNDING else f"over {_ROUNDING} dB"
