"""``lyra worlds``: look at the procedural scenes."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

from lyra.cli.checks import require_output_file


@dataclass(frozen=True)
class Worlds:
    """Look at the procedural scenes that the networks are trained on.

    lyra worlds preview --seed 3 --count 12 --split train -o sheet.png
    """

    action: Annotated[Positional[Literal["preview"]], arg(metavar="preview")]
    """What to do: draw a sheet of scenes."""
    out: Annotated[Path, arg(aliases=["-o"], metavar="FILE")]
    """Picture to write (.png)."""
    seed: int = 0
    """Seed of the first scene; the others follow."""
    count: int = 12
    """How many scenes."""
    split: Literal["train", "val", "test"] = "train"
    """Which scenes and textures: the three sets share none."""
    textures: Annotated[Path | None, arg(metavar="FOLDER", help_behavior_hint="")] = None
    """Texture pack; by default looked for in the usual places, else procedural textures."""

    def run(self) -> int:
        """Draw the sheet."""
        require_output_file(self.out, (".png",))
        from lyra.structures import InputError

        if self.count < 1:
            raise InputError(f"count {self.count} should be at least 1")
        from lyra.io.files import replacing
        from lyra.worlds import load_textures, preview

        textures = load_textures(self.textures, self.split)
        with replacing(self.out, "sheet") as part:
            preview(self.seed, part, self.split, self.count, textures=textures)
        print(f"sheet      {self.out}")
        return 0

    def interrupted(self) -> str:
        """The sheet appears only at the end."""
        return "nothing was written"
