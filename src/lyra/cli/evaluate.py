"""``lyra evaluate``: quality, time and memory as numbers."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_file
from lyra.cli.outputs import appearing


@dataclass(frozen=True)
class EvaluateWorlds:
    """Run the whole road on procedural scenes and compare with their true novel views and depth.

    lyra evaluate worlds --split test --count 24 --json scores.json
    """

    split: Literal["train", "val", "test"] = "test"
    """Which scenes and textures: the three sets share none."""
    count: int = 24
    """How many scenes."""
    seed: int = 0
    """Seed of the first scene, and of the generation."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Denoising steps; by default the number the network was trained for."""
    textures: Annotated[Path | None, arg(metavar="FOLDER")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_device(self.device)
        if self.json is not None:
            require_output_file(self.json, (".json",))
        from lyra.evaluation.worlds import evaluate_worlds

        scores = evaluate_worlds(
            split=self.split,
            count=self.count,
            seed=self.seed,
            steps=self.steps,
            textures=self.textures,
            device=self.device,
        )
        report(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class EvaluatePhotos:
    """Make a scene of each photo and measure what needs no truth: how well the scene shows the photo and the clips.

    lyra evaluate photos examples/photos/*.jpg --json scores.json
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO …")]
    """The photos."""
    seed: int = 0
    """Seed of the generation."""
    steps: Annotated[int | None, arg(metavar="N")] = None
    """Denoising steps; by default the number the network was trained for."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_device(self.device)
        if self.json is not None:
            require_output_file(self.json, (".json",))
        from lyra.io.images import read_photo
        from lyra.structures import InputError

        if not self.photos:
            raise InputError("evaluate photos needs at least one photo")
        for photo in self.photos:
            read_photo(photo)
        from lyra.evaluation.photos import evaluate_photos

        report(evaluate_photos(self.photos, seed=self.seed, steps=self.steps, device=self.device), self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


def report(scores: dict[str, Any], file: Path | None) -> None:
    """Print the summary numbers and write all of them to ``file``.

    Args:
        scores: JSON values; ``summary`` holds the numbers to print by name.
        file: where to write everything, or ``None``.
    """
    summary = scores["summary"]
    width = max(map(len, summary), default=0)
    for name, value in summary.items():
        print(f"{name:<{width}}  {value:.4g}" if isinstance(value, float) else f"{name:<{width}}  {value}")
    if file is not None:
        with appearing(file) as part:
            part.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
        print(f"all numbers: {file}")
