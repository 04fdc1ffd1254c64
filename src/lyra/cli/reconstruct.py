"""``lyra reconstruct``: stored latents become scene folders, and nothing is imagined."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from tyro.conf import Positional, arg

from lyra.cli.checks import require_device, require_output_folder
from lyra.cli.progress import StageLines
from lyra.cli.scene_page import write_page
from lyra.cli.sizes import mebibytes, seconds

if TYPE_CHECKING:
    from lyra.data import RecordSource
    from lyra.structures import SceneRecord


@dataclass(frozen=True)
class Reconstruct:
    """Turn stored latents into 3D scenes, without running the video network.

    lyra reconstruct runs/store -o out
    lyra reconstruct runs/store -o out --record drawing_room dahlia
    """

    source: Annotated[Positional[Path], arg(metavar="STORE")]
    """Store of lyra synthesize, or a folder in the published data layout (docs/data.md)."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Folder for the scenes; each record becomes a scene folder of its name in it."""
    record: Annotated[tuple[str, ...], arg(metavar="NAME", help_behavior_hint="")] = ()
    """Only these records: whole names, or beginnings that fit one record. By default all."""
    refine: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Steps that fit a scene to its picture and the stored clips, by default 16; 0 keeps what the decoder said."""
    recolor: Annotated[int | None, arg(metavar="N", help_behavior_hint="")] = None
    """Rounds that move only a scene's colours towards its picture; by default 2 where it is not refined."""
    gaussians: Annotated[int, arg(metavar="N")] = 200_000
    """Most Gaussians of a scene; those that show least are dropped. 0 keeps all."""
    device: Annotated[str, arg(metavar="auto|cpu|cuda[:N]")] = "auto"
    """Where to compute."""
    overwrite: bool = False
    """Replace scenes that are already there."""

    def run(self) -> int:
        """Check everything, then load the networks, then make scene after scene."""
        start = time.perf_counter()
        require_device(self.device)

        from lyra.clock import peak_memory_mib
        from lyra.data import LatentSpace, open_records
        from lyra.hub import load_model
        from lyra.models.tokenizer import Tokenizer
        from lyra.pipeline import Pipeline
        from lyra.results import StageReport
        from lyra.scene_writer import write_result
        from lyra.stages import RecolorConfig, RefineConfig, ThinConfig
        from lyra.structures import InputError

        RefineConfig(self.refine or 0)
        RecolorConfig(self.recolor or 0)
        ThinConfig(self.gaussians)
        source = open_records(self.source, LatentSpace.of(load_model("tokenizer/nano", kind=Tokenizer)))
        keys = _choose(source.keys(), self.record, self.source)
        for key in keys:
            require_output_folder(self.out / key, self.overwrite)
        made = 0
        with StageLines() as lines:
            lines(StageReport("load"))
            before = time.perf_counter()
            pipeline = Pipeline.load(self.device)
            lines(StageReport("load", time.perf_counter() - before, detail=f"networks on {pipeline.device}"))
            for record in self._records(source, keys, lines):
                lines.say(f"record {record.key}")
                result = pipeline.finish(
                    pipeline.recall(record, self.recolor, lines, self.gaussians, self.refine), lines
                )
                write_result(result, self.out / record.key, self.overwrite, lines, write_page)
                made += 1
        if not made:
            raise InputError(f"no record of {self.source} can be read; restore its files from a copy")
        print(f"scenes     {made} in {self.out}")
        print(f"time       {seconds(time.perf_counter() - start)} in all")
        print(f"memory     {mebibytes(peak_memory_mib())} at the peak")
        return 0

    def interrupted(self) -> str:
        """Every scene folder appears complete or not at all."""
        return f"finished scenes are in {self.out}"

    def _records(self, source: "RecordSource", keys: Sequence[str], lines: StageLines) -> "Iterator[SceneRecord]":
        """Those that were asked for by name must be readable, of all the others damaged ones are left out."""
        from lyra.data import readable_records

        if self.record:
            yield from (source.read(key, rgb=False) for key in keys)
        else:
            yield from readable_records(source, lines.note, keys, rgb=False)


def _choose(keys: Sequence[str], wanted: Sequence[str], source: Path) -> list[str]:
    """The record of each wanted name or beginning, in the order given; all of them where none is wanted.

    Raises:
        InputError: a name that fits no record, or several.
    """
    from lyra.structures import InputError

    chosen = []
    for name in wanted:
        fitting = [name] if name in keys else [key for key in keys if key.startswith(name)]
        some = ", ".join((fitting or list(keys))[:5])
        if not fitting:
            raise InputError(f"{source} has no record '{name}'; there are {some}")
        if len(fitting) > 1:
            raise InputError(f"'{name}' fits {len(fitting)} records of {source}; write out one of {some}")
        chosen.append(fitting[0])
    return list(dict.fromkeys(chosen)) or list(keys)
