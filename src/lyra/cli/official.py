"""``lyra models import-official`` and ``export-official``: published checkpoints in, and out again."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.sizes import mebibytes, seconds


@dataclass(frozen=True)
class ModelsImportOfficial:
    """Turn downloaded checkpoints of GEN3C and Lyra into a model folder for `lyra generate --model`.

    lyra models import-official --checkpoints checkpoints -o models/lyra
    lyra models import-official --checkpoints checkpoints -o models/lyra --decoder both
    """

    checkpoints: Annotated[Path, arg(metavar="FOLDER")]
    """Folder with the downloaded repositories: Gen3C-Cosmos-7B, Cosmos-Tokenize1-CV8x8x8-720p, Lyra."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Model folder to make; it appears complete or not at all."""
    decoder: Literal["static", "dynamic", "both"] = "static"
    """Which 3D decoder: of still or of moving scenes. With both, `model.json` names the one that is used."""

    def run(self) -> int:
        """Check every tensor, then convert file by file."""
        start = time.perf_counter()
        from lyra.clock import peak_memory_mib
        from lyra.hub import config_to_dict
        from lyra.hub.official import import_official
        from lyra.preset import published

        kinds = ("static", "dynamic") if self.decoder == "both" else (self.decoder,)
        roles = ("tokenizer", "teacher", *(f"decoder-{kind}" for kind in kinds))
        preset = published("dynamic" if self.decoder == "dynamic" else "static")
        with _progress("importing") as tell:
            cards = import_official(
                self.checkpoints, self.out, {"preset": config_to_dict(preset)}, roles, progress=tell
            )
        for card in cards:
            print(f"{card.name:<30} {card.parameters / 1e6:8.1f} M  {card.size / 1e9:6.2f} GB  {card.licence}")
        print(f"model      {self.out}")
        print(f"time       {seconds(time.perf_counter() - start)}, memory {mebibytes(peak_memory_mib())} at the peak")
        return 0

    def interrupted(self) -> str:
        """The folder appears only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class ModelsExportOfficial:
    """Write the networks of a model folder as checkpoint files with the published names.

    lyra models export-official models/lyra -o checkpoints
    """

    model: Annotated[Positional[Path], arg(metavar="MODEL")]
    """Model folder."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Checkpoints folder to make; it appears complete or not at all."""

    def run(self) -> int:
        """Write file by file."""
        start = time.perf_counter()
        from lyra.hub.official import export_official

        with _progress("exporting") as tell:
            files = export_official(self.model, self.out, progress=tell)
        for file in files:
            print(f"{file}  {file.stat().st_size / 1e9:.2f} GB")
        print(f"time       {seconds(time.perf_counter() - start)}")
        return 0

    def interrupted(self) -> str:
        """The folder appears only at the end."""
        return "nothing was written"


@dataclass(frozen=True)
class ModelsRandomOfficial:
    """Make a model folder of random weights, to see whether a computer can run it before 15 GB are downloaded.

    lyra models random-official -o models/random
    lyra models random-official -o models/toy --toy
    """

    out: Annotated[Path, arg(aliases=["-o"], metavar="FOLDER")]
    """Model folder to make."""
    toy: bool = False
    """Networks of the smallest size, for 17 frames of 64 x 96: the whole road in seconds, on any computer."""
    decoder: Literal["static", "dynamic"] = "static"
    """Which 3D decoder: of still or of moving scenes."""
    seed: int = 0
    """Seed of the weights."""

    def run(self) -> int:
        """Draw the weights file by file."""
        from lyra.hub import config_to_dict
        from lyra.hub.official import SLOTS, toy_slots, write_random_model
        from lyra.preset import published, toy

        preset = toy(self.decoder) if self.toy else published(self.decoder)
        roles = ("tokenizer", "teacher", preset.decoder)
        slots = toy_slots() if self.toy else SLOTS
        with _progress("drawing") as tell:
            cards = write_random_model(self.out, {"preset": config_to_dict(preset)}, roles, slots, self.seed, tell)
        print(f"model      {self.out}, {sum(card.size for card in cards) / 1e9:.2f} GB of random numbers")
        return 0

    def interrupted(self) -> str:
        """The folder appears only at the end."""
        return "nothing was written"


@contextmanager
def _progress(verb: str) -> Iterator[Callable[[str, float], None]]:
    """A line on the terminal that says how far the conversion is; nothing where there is no terminal."""
    from rich.console import Console

    console = Console(highlight=False, stderr=True)
    if not console.is_terminal:
        yield lambda role, share: None
        return
    with console.status(verb) as status:
        yield lambda role, share: status.update(f"{verb} {role}: {100 * share:.0f} %")
