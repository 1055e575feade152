"""A followed run on the user's terminal: its log, and below it where the run stands.

In a pipe, or as JSON, there is the log alone.
"""

import re
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

from flwr.cli.environment import Environment
from flwr.cli.present import duration_text
from flwr.cli.report import Report
from flwr.cli.tables import wants_colours
from flwr.control.api import Control
from flwr.control.follow import FROM_THE_START, NOTHING, Follower, fetch_run
from flwr.control.terminal import LogText, printable
from flwr.core.clock import Clock
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.run import Run, RunStatus

if TYPE_CHECKING:
    from rich.console import Console

_ROUND: Final = re.compile(r"\[ROUND (\d+)(?:/(\d+))?\]")
_CLIENTS: Final = re.compile(r"Simulation: .*?(\d+/\d+ clients · \d+ clients/s(?: · \d+ failed)?)")
_LOOK_S: Final = 2.0  # between two looks at a run that is not running yet
_FRAMES_PER_S: Final = 8


class Progress:
    """Where a run stands, in one line."""

    def __init__(self, run_id: RunId, clock: Clock) -> None:
        """Count from now."""
        self._run_id, self._clock = run_id, clock
        self._since = clock.monotonic()
        self._status, self._why, self._round = str(RunStatus.PENDING), "", ""
        self._clients = ""  # of a simulation

    def see_run(self, run: Run) -> None:
        """Take note of the run as the SuperLink knows it."""
        if not self._round:  # the log is ahead of what was asked a moment ago
            self._status, self._why = str(run.status), printable(run.details)

    def see_log(self, text: str) -> None:
        """Take note of the round that the log tells of, and of a simulation's clients."""
        for number, of in _ROUND.findall(text):
            self._status, self._why = str(RunStatus.RUNNING), ""
            self._round = f"round {number}/{of}" if of else f"round {number}"
            self._clients = ""
        for clients in _CLIENTS.findall(text):
            self._clients = clients

    def line(self) -> str:
        """Return, such as, ``run 7 · running · round 2/3 · 1m 40s``."""
        elapsed = duration_text(self._clock.monotonic() - self._since)
        state = f"{self._status}: {self._why}" if self._why else self._status
        return " · ".join(
            part
            for part in (f"run {self._run_id}", state, self._round, self._clients, elapsed)
            if part
        )


class _LiveLog:
    """Prints whole lines of a log above the line of progress."""

    def __init__(self, console: "Console", progress: Progress) -> None:
        self._console, self._progress = console, progress
        self._rest = ""

    def feed(self, text: str) -> None:
        whole, newline, self._rest = (self._rest + text).rpartition("\n")
        if newline:  # at once: the line below is drawn again after each printing
            self._progress.see_log(whole)
            self._console.out(whole, highlight=False)

    def end(self) -> None:
        if self._rest:
            self._console.out(self._rest, highlight=False)


def follow_run(
    environment: Environment,
    report: Report,
    control: Control,
    run_id: RunId,
    *,
    shows_log: bool = True,
    answered_before: bool = False,
) -> Run:
    """Show the run until it has ended, and return it.

    Args:
        environment: clock and pauses.
        report: where to.
        control: the SuperLink.
        run_id: the run.
        shows_log: else only where the run stands, and that on a terminal only.
        answered_before: the SuperLink is known to work, so even the first failure is retried.

    Raises:
        RunNotFoundError: there is none of that id.
        UnavailableError: the SuperLink did not answer.
    """
    text = LogText(colours=wants_colours())
    follower = Follower(
        control,
        clock=environment.clock,
        pause=environment.pause,
        on_loss=lambda: report.note("Lost the connection to the SuperLink, trying again"),
        after=FROM_THE_START if shows_log else NOTHING,
    )
    try:
        with _showing(environment, report, control, run_id) as emit:
            return follower.until_end(
                run_id, emit=lambda chunk: emit(text.feed(chunk)), answered_before=answered_before
            )
    except KeyboardInterrupt:
        report.note(
            f"\nRun {run_id} goes on.  Follow it: flwr log {run_id}   End it: flwr stop {run_id}"
        )
        raise


@contextmanager
def _showing(
    environment: Environment, report: Report, control: Control, run_id: RunId
) -> Iterator[Callable[[str], None]]:
    """Yield where to put the log."""
    console = None if report.is_json else _terminal()
    if console is None:
        yield report.log_text
        return
    from rich.live import Live  # noqa: PLC0415 - rich only on a terminal
    from rich.spinner import Spinner  # noqa: PLC0415

    progress = Progress(run_id, environment.clock)
    spinner = Spinner("dots")

    def line() -> Any:
        spinner.update(text=progress.line())
        return spinner

    log = _LiveLog(console, progress)
    with (
        _looking(control, run_id, progress),
        Live(
            get_renderable=line,
            console=console,
            transient=True,
            refresh_per_second=_FRAMES_PER_S,
        ),
    ):
        try:
            yield log.feed
        finally:
            log.end()


@contextmanager
def _looking(control: Control, run_id: RunId, progress: Progress) -> Iterator[None]:
    """Look at the run beside its log until it runs: before that, its log says nothing."""
    over = threading.Event()

    def look() -> None:
        while not over.is_set():
            try:
                run = fetch_run(control, run_id)
            except FlwrError:
                return  # whoever follows the log meets it as well, and tells
            progress.see_run(run)
            if run.status not in {RunStatus.PENDING, RunStatus.STARTING}:
                return
            over.wait(_LOOK_S)

    thread = threading.Thread(target=look, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()


def _terminal() -> "Console | None":
    """Return the terminal that shows output and messages alike; None if there is no such."""
    if not sys.stdout.isatty() or not sys.stderr.isatty():
        return None
    from rich.console import Console  # noqa: PLC0415 - rich only on a terminal

    console = Console(file=sys.stdout)
    return None if console.is_dumb_terminal else console
