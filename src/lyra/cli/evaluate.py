"""``lyra evaluate``: quality, time and memory as numbers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.scores import keep_scores, require_measurable, require_workers, tell


@dataclass(frozen=True)
class EvaluateWorlds:
    """Run the whole road on procedural scenes and compare with their true novel views and depth.

    lyra evaluate worlds --split test --count 24 --json scores.json
    lyra evaluate worlds --dynamic --count 8 --json moving.json
    """

    dynamic: bool = False
    """Score moving scenes: worlds in which something moves, filmed from a tripod, and cameras that are carried."""
    split: Literal["val", "test"] = "test"
    """Which scenes and textures; neither set occurs in training."""
    count: int = 24
    """How many scenes."""
    seed: int = 0
    """Seed of the movement distances and of the generation; the scenes are always the same."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps; by default the number the network was trained for."""
    stride: int = 5
    """Every so many frames of each trajectory are scored, counted back from the last."""
    gaussians: Annotated[int, arg(metavar="N")] = 200_000
    """What finished scenes are thinned to, moving ones at each time; 0 keeps all."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_measurable(self.device, self.json)
        from lyra.structures import InputError

        if self.count < 1:
            raise InputError(f"count {self.count} should be at least 1")
        if not 1 <= self.stride <= 16:
            raise InputError(f"stride {self.stride} is outside 1…16; clips have 17 frames and the first is given")
        if self.dynamic:
            return self._moving()
        from lyra.evaluation.worlds import WorldsProtocol, evaluate_worlds, table

        protocol = WorldsProtocol(
            split=self.split,
            count=self.count,
            steps=self.steps,
            seed=self.seed,
            textures=self.textures,
            device=self.device,
            stride=self.stride,
            gaussians=self.gaussians,
        )
        scores = evaluate_worlds(protocol, progress=tell)
        print(table(scores))
        keep_scores(scores, self.json)
        return 0

    def _moving(self) -> int:
        from lyra.evaluation.moving_worlds import MovingProtocol, evaluate_moving_worlds, table

        protocol = MovingProtocol(
            split=self.split,
            count=self.count,
            steps=self.steps,
            seed=self.seed,
            textures=self.textures,
            device=self.device,
            stride=self.stride,
            cameras=2 * self.count,
            gaussians=self.gaussians,
        )
        scores = evaluate_moving_worlds(protocol, progress=tell)
        print(table(scores))
        keep_scores(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class EvaluatePhotos:
    """Make a scene of each photo and measure what needs no truth: how well the scene shows the photo and the clips.

    lyra evaluate photos examples/photos/*.jpg --json scores.json
    """

    photos: Annotated[Positional[tuple[Path, ...]], arg(metavar="PHOTO …", help_behavior_hint="(at least one)")]
    """The photos."""
    seed: int = 0
    """Seed of the generation."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps; by default the number the network was trained for."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_measurable(self.device, self.json)
        from lyra.io.images import read_photo
        from lyra.structures import InputError

        if not self.photos:
            raise InputError("evaluate photos needs at least one photo")
        for photo in self.photos:
            read_photo(photo)
        from lyra.evaluation.photos import evaluate_photos
        from lyra.results import GenerateOptions

        scores = evaluate_photos(self.photos, GenerateOptions(seed=self.seed, steps=self.steps, device=self.device))
        for name, value in scores["mean"].items():
            print(f"mean {name:<24} {value:.4g}")
        keep_scores(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class EvaluateText:
    """Draw first pictures for unseen captions and let a probe, which knows rendered scenes only, say what they show.

    lyra evaluate text --count 200 --json text.json
    lyra evaluate text --guidance 2 --steps 8
    """

    split: Literal["val", "test"] = "test"
    """Whose scenes are described; neither set occurs in training."""
    count: int = 200
    """How many captions."""
    seed: int = 0
    """Seed of the captions and of the pictures."""
    guidance: Annotated[float | None, arg(metavar="G", help_behavior_hint="")] = None
    """How far the pictures follow the captions; by default as in lyra generate."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps of a first picture; by default the network's own number."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    workers: int = 0
    """Processes that make worlds for a new probe to learn from; with 0 this one makes them itself."""
    probe: Literal["auto", "small", "large"] = "auto"
    """Which probe judges: a GPU takes the large one, a CPU the small one. A large one that a GPU has trained, in the
    cache folder, judges on a CPU, too."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_measurable(self.device, self.json)
        from lyra.structures import InputError

        if self.count < 2:
            raise InputError(f"count {self.count} should be at least 2, or there is nothing to shuffle")
        if self.steps is not None and not 1 <= self.steps <= 200:
            raise InputError(f"steps {self.steps} is outside 1…200; leave it out for the network's own number")
        require_workers(self.workers)
        from lyra.evaluation.text import TextProtocol, evaluate_text, text_table

        scores = evaluate_text(
            TextProtocol(
                split=self.split,
                count=self.count,
                seed=self.seed,
                guidance=self.guidance,
                steps=self.steps,
                textures=self.textures,
                device=self.device,
                workers=self.workers,
                probe=self.probe,
            ),
            progress=tell,
        )
        print(text_table(scores))
        keep_scores(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class EvaluateProbe:
    """Train the probe of evaluate text, or load it, and see how well it reads renders of validation scenes.

    lyra evaluate probe --count 2000 --workers 14 --json probe.json
    """

    count: int = 400
    """How many scenes it reads."""
    seed: int = 0
    """Seed of the captions whose facts it looks for."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute; a GPU trains a larger probe than a CPU."""
    workers: int = 0
    """Processes that make worlds; with 0 this one makes them itself."""
    probe: Literal["auto", "small", "large"] = "auto"
    """Which probe."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Train, measure and report."""
        require_measurable(self.device, self.json)
        require_workers(self.workers)
        from lyra.evaluation.probe_scores import ProbeProtocol, evaluate_probe, probe_table

        scores = evaluate_probe(
            ProbeProtocol(
                count=self.count,
                seed=self.seed,
                textures=self.textures,
                device=self.device,
                workers=self.workers,
                probe=self.probe,
            ),
            progress=tell,
        )
        print(probe_table(scores))
        keep_scores(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """A probe is kept only when it is complete."""
        return "nothing was written"


@dataclass(frozen=True)
class EvaluateCamera:
    """Compare imagined clips with the true views at the commanded cameras and at wrong ones, and with each other.

    lyra evaluate camera --count 8 --json camera.json
    """

    split: Literal["val", "test"] = "test"
    """Which scenes and textures; neither set occurs in training."""
    count: int = 8
    """How many scenes."""
    seed: int = 0
    """Seed of the movement distances, the wrong cameras and the generation; the scenes are always the same."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps; by default the number the network was trained for."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    json: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Also write every number to this file."""

    def run(self) -> int:
        """Measure and report."""
        require_measurable(self.device, self.json)
        from lyra.structures import InputError

        if self.count < 1:
            raise InputError(f"count {self.count} should be at least 1")
        from lyra.evaluation.camera import CameraProtocol, evaluate_camera, table

        protocol = CameraProtocol(
            split=self.split,
            count=self.count,
            steps=self.steps,
            seed=self.seed,
            textures=self.textures,
            device=self.device,
        )
        scores = evaluate_camera(protocol, progress=tell)
        print(table(scores))
        keep_scores(scores, self.json)
        return 0

    def interrupted(self) -> str:
        """Numbers appear only at the end."""
        return "nothing was written"
