"""Stage lines: plain where nobody watches, with a spinner on a terminal."""

import io

from rich.console import Console

from lyra.cli.progress import StageLines
from lyra.cli.sizes import mebibytes, seconds
from lyra.results import StageReport


def shown(terminal: bool) -> str:
    """What a run of one stage writes."""
    stream = io.StringIO()
    with StageLines(Console(file=stream, force_terminal=terminal, highlight=False, width=80)) as lines:
        lines(StageReport("imagine"))
        lines(StageReport("imagine", detail="3/8"))
        lines(StageReport("imagine", 12.5, detail="2 trajectories x 4 steps [fast]"))
        lines.note("the photo was [reduced]")
    return stream.getvalue()


def test_one_plain_line_for_each_finished_stage() -> None:
    assert shown(terminal=False) == (
        "imagine      12.50 s  2 trajectories x 4 steps [fast]\nnote: the photo was [reduced]\n"
    )


def test_a_terminal_gets_the_same_lines_and_its_cursor_back() -> None:
    text = shown(terminal=True)
    assert "imagine      12.50 s  2 trajectories x 4 steps [fast]" in text
    hide, show = "\x1b[?25l", "\x1b[?25h"
    assert hide in text
    assert text.rindex(show) > text.rindex(hide)


def test_units() -> None:
    assert mebibytes(512) == "512 MiB"
    assert mebibytes(2355.2) == "2.3 GiB"
    assert seconds(9.43) == "9.4 s"
    assert seconds(125) == "2 min 05 s"
