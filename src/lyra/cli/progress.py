"""One line per finished stage; on a terminal a spinner shows the running one."""

from types import TracebackType
from typing import TYPE_CHECKING, Self

from rich.console import Console
from rich.status import Status

if TYPE_CHECKING:
    from lyra.results import StageReport


class StageLines:
    """Prints the stages of a run to standard output; call it with each report.

    A report without seconds says that a stage begins or goes on, one with seconds that it is done.

    Args:
        console: where to print, by default standard output.
        quiet: leave out the lines of finished stages, only the spinner tells of them.
    """

    def __init__(self, console: Console | None = None, quiet: bool = False) -> None:
        self._console = console or Console(highlight=False, soft_wrap=True)
        self._quiet = quiet
        self._spinner: Status | None = None

    def __enter__(self) -> Self:
        if self._console.is_terminal:
            self._spinner = self._console.status("starting")
            self._spinner.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._spinner is not None:
            self._spinner.stop()
            self._spinner = None

    def __call__(self, report: "StageReport") -> None:
        """Show ``report``."""
        if report.seconds is None:
            if self._spinner is not None:
                self._spinner.update(f"{report.name} {report.detail}".rstrip())
            return
        if not self._quiet:
            self._console.print(f"{report.name:<10} {report.seconds:7.2f} s  {report.detail}".rstrip(), markup=False)

    def say(self, line: str) -> None:
        """Print a line."""
        self._console.print(line, markup=False)

    def note(self, text: str) -> None:
        """A remark that is not a fault."""
        self._console.print(f"note: {text}", markup=False)


class Counter:
    """On a terminal a spinner that shows what is being done and how much of it; elsewhere silent."""

    def __init__(self, console: Console | None = None) -> None:
        self._status = (console or Console(highlight=False)).status("starting")
        self._shown = self._status.console.is_terminal

    def __enter__(self) -> Self:
        if self._shown:
            self._status.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, fault: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._status.stop()

    def __call__(self, what: str, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` steps of ``what`` are done."""
        if self._shown:
            self._status.update(f"{what} {done}/{total}")
