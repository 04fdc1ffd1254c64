"""From the words on the command line to an exit code."""

import operator
import os
import sys
from collections.abc import Mapping, Sequence
from functools import reduce
from inspect import cleandoc
from typing import Annotated, Any, Protocol, cast

import tyro
from tyro.conf import subcommand

from lyra import __version__
from lyra.cli.doctor import Doctor
from lyra.cli.embed_text import ModelsEmbedText
from lyra.cli.evaluate import EvaluateCamera, EvaluatePhotos, EvaluateProbe, EvaluateText, EvaluateWorlds
from lyra.cli.export import Export
from lyra.cli.faults import INTERRUPTED, leave_quietly, one_line
from lyra.cli.film import Film
from lyra.cli.generate import Generate
from lyra.cli.models import ModelsList, ModelsShow
from lyra.cli.official import ModelsExportOfficial, ModelsImportOfficial, ModelsRandomOfficial
from lyra.cli.reconstruct import Reconstruct
from lyra.cli.render import Render
from lyra.cli.studies import EvaluateAblations, EvaluateOptimisation
from lyra.cli.synthesize import Synthesize
from lyra.cli.train import Train
from lyra.cli.view import View
from lyra.cli.waiting import wait_briefly
from lyra.cli.worlds import Worlds

DESCRIPTION = """One photo becomes a 3D scene of Gaussian splats, on this computer, with the networks that ship inside.
  lyra generate photo.jpg -o out/photo
  lyra generate clip.mp4 -o out/clip
  lyra view out/photo
  lyra render out/photo --path orbit -o orbit.mp4
  lyra export out/photo --to glb
  lyra doctor"""

COMMANDS: dict[str, type | tuple[str, dict[str, type]]] = {
    "generate": Generate,
    "render": Render,
    "film": Film,
    "export": Export,
    "view": View,
    "doctor": Doctor,
    "models": (
        "The networks: those that ship inside, and published ones.",
        {
            "list": ModelsList,
            "show": ModelsShow,
            "import-official": ModelsImportOfficial,
            "export-official": ModelsExportOfficial,
            "random-official": ModelsRandomOfficial,
            "embed-text": ModelsEmbedText,
        },
    ),
    "evaluate": (
        "Measure quality, time and memory.",
        {
            "worlds": EvaluateWorlds,
            "photos": EvaluatePhotos,
            "camera": EvaluateCamera,
            "text": EvaluateText,
            "probe": EvaluateProbe,
            "ablations": EvaluateAblations,
            "optimisation": EvaluateOptimisation,
        },
    ),
    "synthesize": Synthesize,
    "reconstruct": Reconstruct,
    "train": Train,
    "worlds": Worlds,
}


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
    wait_briefly(os.environ)
    words = list(sys.argv[1:] if arguments is None else arguments)
    if words in (["--version"], ["-V"]):
        print(f"lyra {__version__}")
        return 0
    try:
        return _run(parse(words))
    except BrokenPipeError:
        leave_quietly()
        return 0


def parse(words: list[str]) -> Command:
    """The sub-command that ``words`` ask for; prints help or a usage error and leaves the process otherwise."""
    # A list of commands shows the first sentence of each, the help of one command its examples too.
    brief = not words or words[0].startswith("-") or (len(words) == 2 and isinstance(COMMANDS.get(words[0]), tuple))
    form = _union(COMMANDS, brief)
    settings = (tyro.conf.FlagCreatePairsOff,)
    return cast(Command, tyro.cli(form, prog="lyra", description=DESCRIPTION, args=words, config=settings))


def _run(command: Command) -> int:
    try:
        return command.run()
    except KeyboardInterrupt:
        print(f"lyra: interrupted, {command.interrupted()}", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        raise
    except (ValueError, OSError, MemoryError, RuntimeError) as fault:
        line = one_line(fault)
        if line is None:
            raise
        print(f"lyra: {line.text}", file=sys.stderr)
        return line.code


def _union(commands: Mapping[str, Any], brief: bool) -> Any:
    """The form that tyro reads sub-commands from: a union of annotated dataclasses, and of such unions."""
    members = []
    for name, command in commands.items():
        if isinstance(command, tuple):
            text, form = command[0], _union(command[1], brief)
        else:
            text, form = _description(command, brief), command
        members.append(Annotated[form, subcommand(name, description=text)])
    return reduce(operator.or_, members)


def _description(command: type, brief: bool) -> str:
    """The first line of the docstring, and below it, indented so that tyro keeps the line breaks, the examples."""
    title, *examples = [line for line in cleandoc(command.__doc__ or "").splitlines() if line]
    return title if brief else "\n  ".join([title, *examples])
