"""``lyra evaluate ablations`` and ``optimisation``: comparisons that train."""

from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import arg

from lyra.cli.scores import keep_scores, require_measurable, tell


@dataclass(frozen=True)
class EvaluateAblations:
    """Train the decoder again and again without one of its parts, with the same budget, and compare.

    lyra evaluate ablations --out runs/ablations --seconds 40 --json ablations.json
    lyra evaluate ablations --out runs/ablations --seconds 40 --variants full no-fusion captured
    lyra evaluate ablations --out runs/photos --seconds 40 --variants full captured --photos examples/photos/*.jpg
    """

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder of the runs; variants that are finished there are kept, an interrupted one goes on."""
    variants: Annotated[tuple[str, ...], arg(metavar="NAME …", help_behavior_hint="(default: all)")] = ()
    """Rows to make: full, no-fusion, no-fusion-pruned, alone, trunk-apart, captured, both, no-perceptual, no-depth,
    no-pruning, hybrid, pixels, official, official-no-fusion, official-alone, official-captured,
    official-no-perceptual."""
    seconds: Annotated[float | None, arg(metavar="S", help_behavior_hint="")] = None
    """Training of each variant in seconds. One of --seconds and --steps is needed."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Training of each variant in steps."""
    count: int = 24
    """Test worlds."""
    photos: Annotated[tuple[Path, ...], arg(metavar="FILE …", help_behavior_hint="(default: none)")] = ()
    """Photographs that no training saw; every variant is scored there, too, against the teacher's frames."""
    scenes: int = 256
    """Imagined scenes that all variants learn from; each takes 75 MB on the device at the usual size."""
    captured: int = 200
    """Worlds with filmed clips for the variants that learn from these."""
    gaussians: int = 200_000
    """What pruning leaves at most."""
    batch: int = 2
    """Scenes a step."""
    seed: int = 0
    """Seed of everything random."""
    height: Annotated[int, arg(metavar="N")] = 256
    """Height of the pictures, a multiple of 32."""
    width: Annotated[int, arg(metavar="N")] = 448
    """Width of the pictures, a multiple of 32."""
    stride: int = 5
    """Every so many frames of each trajectory are scored, counted back from the last."""
    store: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Take imagined scenes from this store (lyra synthesize) instead of imagining some."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    models: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Folder in which the other networks are looked up before the ones that ship inside."""
    workers: int = 0
    """Processes that make worlds; with 0 this one makes them itself."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Train what is missing, and show the table."""
        _require(self.device, self.json)
        from lyra.studies.ablation_report import ablation_table
        from lyra.studies.ablations import AblationsProtocol, run_ablations
        from lyra.studies.variants import ABLATIONS

        protocol = AblationsProtocol(
            out=self.out,
            variants=self.variants or tuple(ABLATIONS),
            seconds=self.seconds,
            steps=self.steps,
            count=self.count,
            photos=self.photos,
            scenes=self.scenes,
            captured=self.captured,
            gaussians=self.gaussians,
            batch=self.batch,
            seed=self.seed,
            height=self.height,
            width=self.width,
            stride=self.stride,
            store=self.store,
            textures=self.textures,
            models=self.models,
            device=self.device,
            workers=self.workers,
        )
        report = run_ablations(protocol, tell)
        print(ablation_table(report))
        keep_scores(report, self.json)
        return 0

    def interrupted(self) -> str:
        """Finished variants are kept."""
        return f"the variants finished so far are in {self.out}, the same command goes on"


@dataclass(frozen=True)
class EvaluateOptimisation:
    """Fit Gaussians to the teacher's frames, scene by scene, and compare with one forward pass of the decoder.

    lyra evaluate optimisation --count 3 --json optimisation.json
    """

    split: Literal["val", "test"] = "test"
    """Which scenes and textures; neither set occurs in training."""
    count: int = 3
    """How many scenes."""
    steps: int = 7000
    """Steps of optimisation; minutes per scene on a GPU, hours without one."""
    seed: int = 0
    """Seed of the paths, the generation and the order of pictures."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Fit, compare and report."""
        _require(self.device, self.json)
        from lyra.studies.optimisation import OptimisationProtocol, evaluate_optimisation, optimisation_table

        protocol = OptimisationProtocol(
            split=self.split,
            count=self.count,
            steps=self.steps,
            seed=self.seed,
            textures=self.textures,
            device=self.device,
        )
        report = evaluate_optimisation(protocol, tell=tell)
        print(optimisation_table(report))
        keep_scores(report, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


def _require(device: str, file: Path | None) -> None:
    """Refuse before anything heavy is loaded."""
    require_measurable(device, file)
    if find_spec("accelerate") is None:
        from lyra.structures import InputError

        raise InputError("training needs the package accelerate; pip install 'lyra-scenes[train]'")
