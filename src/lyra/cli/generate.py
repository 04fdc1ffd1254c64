"""``lyra generate``: a photo becomes a scene folder."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_folder
from lyra.cli.progress import StageLines
from lyra.cli.sizes import mebibytes, seconds

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lyra.pipeline import GenerateOptions, Result
    from lyra.structures import Scene, Trajectory


@dataclass(frozen=True)
class Generate:
    """Turn a photo into a 3D scene.

    lyra generate photo.jpg -o out/photo
    lyra generate photo.jpg -o out/photo --trajectories left,right --seed 7
    lyra generate photo.jpg -o out/photo --depth depth.npy --fov 65
    lyra generate photo.jpg -o out/photo --cameras path.json
    """

    photo: Annotated[Positional[Path], arg(metavar="PHOTO")]
    """The photo: JPEG, PNG, WebP, TIFF or anything else that Pillow opens."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the scene; it appears complete or not at all."""
    seed: int = 0
    """Another seed imagines other hidden parts."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps of the video network; by default the number it was trained for."""
    trajectories: Annotated[str | None, arg(metavar="NAMES", help_behavior_hint="")] = None
    """Which ways to look around, separated by commas: left,right,up,zoom_out,zoom_in,clockwise. By default all."""
    strength: float = 1.0
    """Factor on how far the cameras move."""
    fov: Annotated[float | None, arg(metavar="DEGREES", help_behavior_hint="")] = None
    """Horizontal field of view; by default from the photo's EXIF data, else estimated."""
    depth: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Depth of the photo from elsewhere (.npy, .npz or 16-bit .png), see docs/conventions.md."""
    cameras: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Your own camera path (.json or .npz) in place of the trajectories, see docs/conventions.md."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    overwrite: bool = False
    """Replace a scene that is already in the folder."""
    fit: Literal["crop", "pad"] = "crop"
    """How a photo of another shape is brought to the networks' shape."""
    recolor: Annotated[int, arg(metavar="N")] = 2
    """Rounds that move the scene's colours towards the photo; 0 keeps what the decoder said."""

    def run(self) -> int:
        """Check everything, then load the networks, then make the scene."""
        start = time.perf_counter()
        require_device(self.device)
        require_output_folder(self.out, self.overwrite)
        options = self._options()

        from lyra.cli.preflight import require_readable_inputs
        from lyra.pipeline import Pipeline, StageReport, write_result

        notices = require_readable_inputs(self.photo, options)
        with StageLines() as lines:
            for notice in notices:
                lines.note(notice)
            lines(StageReport("load"))
            before = time.perf_counter()
            pipeline = Pipeline.load(self.device)
            lines(StageReport("load", time.perf_counter() - before, detail=f"networks on {pipeline.device}"))
            result = pipeline.run(self.photo, options, lines)
            write_result(result, self.out, self.overwrite, lines, _write_page)
        self._report(result, time.perf_counter() - start)
        return 0

    def interrupted(self) -> str:
        """The scene folder appears only at the end."""
        return "nothing was written"

    def _options(self) -> "GenerateOptions":
        from lyra.pipeline import GenerateOptions

        names = None
        if self.trajectories is not None:
            names = tuple(name.strip().replace("-", "_") for name in self.trajectories.split(",") if name.strip())
        return GenerateOptions(
            seed=self.seed,
            steps=self.steps,
            trajectories=names,
            strength=self.strength,
            fov=self.fov,
            depth=self.depth,
            cameras=self.cameras,
            device=self.device,
            fit=self.fit,
            recolor=self.recolor,
        )

    def _report(self, result: "Result", total: float) -> None:
        from lyra.pipeline import peak_memory_mib

        count = sum(len(gaussians) for gaussians in result.scene.gaussians)
        print(f"scene      {self.out}")
        print(f"Gaussians  {count:,}")
        print(f"time       {seconds(total)} in all")
        print(f"memory     {mebibytes(peak_memory_mib())} at the peak")


def _write_page(folder: Path, scene: "Scene", trajectories: "Sequence[Trajectory]") -> None:
    from lyra.viewer import PAGE_FILE, export_html

    export_html(folder / PAGE_FILE, scene, trajectories)
