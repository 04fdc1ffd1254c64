"""What the commands that measure have in common: checks before the work, lines on the way, numbers in a file."""

import json
from pathlib import Path
from typing import Any

from lyra.cli.checks import require_device, require_output_file


def require_measurable(device: str, file: Path | None) -> None:
    """Refuse a device that is not there, or a file that cannot be written, before anything heavy is loaded.

    Raises:
        InputError: so.
    """
    require_device(device)
    if file is not None:
        require_output_file(file, (".json",))


def require_workers(workers: int) -> None:
    """Refuse a number of processes that no machine has.

    Raises:
        InputError: outside 0 … 1024.
    """
    if not 0 <= workers <= 1024:
        from lyra.structures import InputError

        raise InputError(f"workers {workers} is outside 0…1024; 0 works in this process")


def tell(line: str) -> None:
    """A line of progress, at once even into a file."""
    print(line, flush=True)


def keep_scores(scores: dict[str, Any], file: Path | None) -> None:
    """Write all numbers to ``file``, if one was asked for."""
    if file is None:
        return
    from lyra.io.files import replacing

    with replacing(file, "scores") as part:
        part.write_text(json.dumps(scores, indent=1) + "\n", encoding="utf-8")
    print(f"all numbers: {file}")
