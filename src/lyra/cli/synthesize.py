"""``lyra synthesize``: fill a store with what the teacher imagines."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import arg

from lyra.cli.checks import require_device, require_store_folder
from lyra.cli.progress import StageLines
from lyra.cli.sizes import mebibytes, seconds

if TYPE_CHECKING:
    from lyra.synthesis import Job, Synthesis, SynthesisOptions


@dataclass(frozen=True)
class Synthesize:
    """Let the teacher imagine clips of many pictures and keep them in a store, to train on or to reconstruct.

    lyra synthesize --photos holiday --store runs/store
    lyra synthesize --worlds 200 --store runs/store --seed 1000 --workers 4
    lyra synthesize --prompts prompts.txt --store runs/store
    lyra synthesize --photos holiday --store /shared/store --part 2/3
    """

    store: Annotated[Path, arg(metavar="FOLDER")]
    """The store to make or to add to. Whatever is in it already is not made again."""
    photos: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Pictures to begin with, those in subfolders too. Give this, --worlds or --prompts."""
    worlds: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Begin with N procedural worlds, of the seeds SEED, SEED + 1, and so on."""
    prompts: Annotated[Path | None, arg(metavar="FILE", help_behavior_hint="")] = None
    """Begin with first pictures of the prompts in a text file, one on each line, made as by `lyra generate`."""
    trajectories: Annotated[str | None, arg(metavar="NAMES", help_behavior_hint="")] = None
    """Which ways to look around, separated by commas: left,right,up,zoom_out,zoom_in,clockwise. By default all."""
    strength: float = 1.0
    """Factor on how far the cameras move."""
    seed: int = 0
    """Another seed moves the cameras another distance and imagines other hidden parts; both records are kept."""
    steps: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Denoising steps of the video network; by default the number it was trained for."""
    rgb: bool = False
    """Keep the clips as pictures too; they can be had from the latents at any time."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack of the worlds; by default looked for in the usual places, else procedural textures."""
    workers: int = 1
    """Processes on this computer, each with networks of its own; with --ray, actors on the cluster."""
    part: Annotated[str, arg(metavar="I/N")] = "1/1"
    """Do one of N parts of the work; give every machine the same command and another I."""
    ray: Annotated[str | None, arg(metavar="ADDRESS", help_behavior_hint="")] = None
    """Work on a Ray cluster: its address, auto, or local."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute; several workers share the GPUs."""

    def run(self) -> int:
        """Check, see what is left to do, do it."""
        start = time.perf_counter()
        require_device(self.device)
        require_store_folder(self.store)
        from lyra.structures import InputError

        if sum(given is not None for given in (self.photos, self.worlds, self.prompts)) != 1:
            raise InputError(
                "synthesis needs pictures to begin with; give one of --photos FOLDER, --worlds N and --prompts FILE"
            )
        if self.textures is not None and self.worlds is None:
            raise InputError(f"--textures {self.textures} belongs to --worlds; leave it out")
        if not 1 <= self.workers <= 1024:
            raise InputError(f"workers {self.workers} is outside 1…1024; 1 works in this process")
        from lyra.data import require_store_place
        from lyra.synthesis import Synthesis, parse_part

        require_store_place(self.store)
        part = parse_part(self.part)
        options = self._options()
        jobs = self._jobs(options)
        with StageLines(quiet=True) as lines:
            synthesis = Synthesis(jobs, self.store, options, part)
            refused = self._make(synthesis, lines)
        self._report(synthesis, refused, time.perf_counter() - start)
        if refused == len(synthesis.todo) and not synthesis.present:
            raise InputError(f"none of the {refused} pictures could be used; the lines above say why")
        return 0

    def interrupted(self) -> str:
        """Finished records stay."""
        return f"finished records are in {self.store}, the same command goes on from there"

    def _options(self) -> "SynthesisOptions":
        from lyra.cli.generate import trajectory_names
        from lyra.synthesis import SynthesisOptions

        names = trajectory_names(self.trajectories)
        return SynthesisOptions(names, self.strength, self.seed, self.steps, self.rgb, self.device, self.textures)

    def _jobs(self, options: "SynthesisOptions") -> "list[Job]":
        from lyra.synthesis import photo_jobs, prompt_jobs, world_jobs

        if self.prompts is not None:
            return prompt_jobs(self.prompts, options)
        if self.photos is not None:
            return photo_jobs(self.photos, options)
        assert self.worlds is not None
        return world_jobs(self.worlds, options)

    def _make(self, synthesis: "Synthesis", lines: StageLines) -> int:
        """Print a line for each record; returns how many pictures could not be used."""
        total, refused = len(synthesis.todo), 0
        if synthesis.present:
            lines.note(f"{synthesis.present} records are in the store already")
        for number, outcome in enumerate(synthesis.run(self.workers, self.ray, lines), 1):
            if outcome.refused:
                refused += 1
                lines.note(f"{outcome.source} is left out: {outcome.refused}")
                continue
            size = outcome.size / 2**20
            lines.say(f"{number:>5}/{total} {outcome.seconds:8.1f} s {size:7.1f} MiB  {outcome.key}")
        return refused

    def _report(self, synthesis: "Synthesis", refused: int, total: float) -> None:
        from lyra.data import Manifest

        manifest = Manifest.read(self.store)
        size = sum(int(shard["bytes"]) for shard in manifest.shards) / 2**20
        made = len(synthesis.todo) - refused
        print(f"store      {self.store}")
        print(f"records    {made} made, {synthesis.present} were there, {refused} pictures left out")
        print(f"in all     {manifest.records} records, {mebibytes(size)} in {len(manifest.shards)} shards")
        print(f"time       {seconds(total)} in all")
