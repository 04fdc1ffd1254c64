"""From the words on the command line to an exit code."""

import sys
from collections.abc import Sequence
from typing import Annotated, Protocol, cast

import tyro
from tyro.conf import subcommand

from lyra import __version__
from lyra.cli.doctor import Doctor
from lyra.cli.evaluate import EvaluatePhotos, EvaluateWorlds
from lyra.cli.faults import INTERRUPTED, leave_nothing, one_line
from lyra.cli.generate import Generate
from lyra.cli.models import ModelsList, ModelsShow
from lyra.cli.render import Render
from lyra.cli.train import Train
from lyra.cli.worlds import Worlds

DESCRIPTION = """One photo becomes a 3D scene of Gaussian splats, on this computer, with the networks that ship inside.

  lyra generate photo.jpg -o out/photo
  lyra render out/photo --path orbit -o orbit.mp4
  lyra doctor"""

Models = (
    Annotated[ModelsList, subcommand("list", description="All embedded networks, one a line.")]
    | Annotated[ModelsShow, subcommand("show", description="Everything known about one network.")]
)
Evaluate = (
    Annotated[EvaluateWorlds, subcommand("worlds", description="Scenes with known geometry: true novel views.")]
    | Annotated[EvaluatePhotos, subcommand("photos", description="Photos of yours: what can be measured without truth.")]
)
AnyCommand = (
    Annotated[Generate, subcommand("generate", description="Turn a photo into a 3D scene.")]
    | Annotated[Render, subcommand("render", description="Film a scene along a camera path.")]
    | Annotated[Doctor, subcommand("doctor", description="What this computer can run, and what to install for more.")]
    | Annotated[Models, subcommand("models", description="The networks that ship inside.")]
    | Annotated[Evaluate, subcommand("evaluate", description="Measure quality, time and memory.")]
    | Annotated[Train, subcommand("train", description="Train one of the networks.")]
    | Annotated[Worlds, subcommand("worlds", description="The procedural scenes that the networks are trained on.")]
)


class Command(Protocol):
    """A parsed sub-command."""

    def run(self) -> int:
        """Do it and return the exit code."""

    def interrupted(self) -> str:
        """What Ctrl-C left behind, in a few words."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run ``lyra`` with ``arguments`` (default: those of the process) and return its exit code.

    0 success · 1 out of memory, or a check of ``doctor`` that failed · 2 wrong input · 130 interrupted.
    """
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"lyra {__version__}")
        return 0
    parsed = tyro.cli(
        AnyCommand,  # type: ignore[arg-type]  # a union of dataclasses is a form to tyro, not a type to mypy
        prog="lyra",
        description=DESCRIPTION,
        args=words,
        config=(tyro.conf.FlagCreatePairsOff,),
    )
    command = cast(Command, parsed)
    try:
        return command.run()
    except KeyboardInterrupt:
        print(f"\nlyra: interrupted, {command.interrupted()}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        return leave_nothing()
    except (ValueError, OSError, MemoryError, RuntimeError) as fault:
        line = one_line(fault)
        if line is None:
            raise
        text, code = line
        print(f"lyra: {text}", file=sys.stderr)
        return code
