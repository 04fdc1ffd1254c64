"""The command ``lyra``: parse, call, report. Rooms are imported inside the sub-commands, so ``--help`` is quick."""

from lyra.cli.entry import main

__all__ = ["main"]
