"""Where a simulation stands, shown while it runs: a bar on a terminal, else a log line at times.

While there is a bar, what ClientApps print comes through a pipe and is shown above it.
"""

import logging
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import IO, TYPE_CHECKING, Final

from flwr.app.console_log import logger
from flwr.core.clock import Clock
from flwr.simulation.tally import Standing, Tally

if TYPE_CHECKING:
    from rich.progress import Progress

_FRAME_S: Final = 0.25
_LAST_WORDS_S: Final = 1.0
_LINE_S: Final = 10.0  # between two lines in a log


class Display:
    """Shows how far a run is, unless the log level hides it."""

    def __init__(self) -> None:
        self._is_wanted = logger.isEnabledFor(logging.INFO)
        self._pipe: tuple[IO[str], IO[str]] | None = None
        if self._is_wanted and sys.stderr.isatty():
            ours, theirs = os.pipe()
            self._pipe = (os.fdopen(ours, errors="backslashreplace"), os.fdopen(theirs, "w"))

    @property
    def worker_output(self) -> int | None:
        """The descriptor workers shall print to, None for that of this process."""
        return None if self._pipe is None else self._pipe[1].fileno()

    def close(self) -> None:
        """Let go of the pipe; whoever reads it does so to its end."""
        if self._pipe is not None:
            self._pipe[1].close()

    @contextmanager
    def showing(self, tally: Tally, clock: Clock) -> Iterator[None]:
        """Show it while the block runs."""
        if not self._is_wanted:
            yield
            return
        standing, ended = Standing(tally, clock), threading.Event()
        logger.addHandler(standing)
        thread = threading.Thread(target=self._show, args=(standing, tally, ended), name="display")
        try:
            thread.start()
            yield
        finally:
            ended.set()
            thread.join()
            logger.removeHandler(standing)

    def _show(self, standing: Standing, tally: Tally, ended: threading.Event) -> None:
        if self._pipe is not None:
            _draw(standing, tally, ended, *self._pipe)
            return
        while not ended.wait(_LINE_S):
            done, total = tally.step
            if done < total:
                logger.info("Simulation: %s", standing.line())


def _draw(
    standing: Standing, tally: Tally, ended: threading.Event, ours: IO[str], theirs: IO[str]
) -> None:
    """Draw a bar until the run has ended, and print above it what workers print."""
    with _bar() as bar, _logging_above():
        printing = threading.Thread(target=_print_above, args=(ours,), name="output", daemon=True)
        printing.start()
        task = bar.add_task("")
        while not ended.wait(_FRAME_S):
            done, total = tally.step
            bar.update(task, completed=done, total=total or None, description=standing.line())
        theirs.close()  # the workers have ended before, and closed theirs
        printing.join(_LAST_WORDS_S)  # a process that an app left behind may keep the pipe open


def _print_above(lines: IO[str]) -> None:
    with lines:
        for line in lines:
            sys.stdout.write(line)


def _bar() -> "Progress":
    from rich.console import Console  # noqa: PLC0415  # only terminals pay for it
    from rich.progress import BarColumn, Progress, TextColumn  # noqa: PLC0415

    columns = (BarColumn(bar_width=30), TextColumn("{task.description}"))
    return Progress(*columns, console=Console(stderr=True), transient=True)


@contextmanager
def _logging_above() -> Iterator[None]:
    """Let the logger write where the bar is moved out of its way."""
    handlers = [h for h in logger.handlers if getattr(h, "stream", None) is sys.__stderr__]
    before = sys.__stderr__
    for handler in handlers:
        handler.setStream(sys.stderr)  # type: ignore[attr-defined]
    try:
        yield
    finally:
        for handler in handlers:
            handler.setStream(before)  # type: ignore[attr-defined]
