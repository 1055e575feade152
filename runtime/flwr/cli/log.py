"""``flwr log``: the log of a run, live or as far as it is written."""

import queue
import threading
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Annotated, Final

import typer

from flwr.cli.environment import Environment, environment_of
from flwr.cli.live import follow_run
from flwr.cli.options import FormatOpt, RunIdArg, allows_federation_config, takes_target
from flwr.cli.present import stamp_text, status_text
from flwr.cli.report import Output, Report, reporting
from flwr.cli.session import control_session
from flwr.cli.tables import wants_colours
from flwr.control.api import Control
from flwr.control.connection import Target
from flwr.control.follow import Follower, fetch_run
from flwr.control.terminal import LogText
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.run import Run

_QUIET_S: Final = 1.0  # a live log that says nothing this long has been shown whole

StreamOpt = Annotated[
    bool,
    typer.Option("--stream/--show", help="Follow the log to the run's end, or show what is there."),
]
_Chunks = queue.SimpleQueue[tuple[str, float] | FlwrError | None]


@allows_federation_config
@takes_target
def log(
    ctx: typer.Context,
    run_id: RunIdArg,
    target: Target,
    stream: StreamOpt = True,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Show the log of a run.

    A lost connection is taken up again where it broke.  With --format json every line of the log
    is one JSON document on one line, and the last one says how the run stands.
    """
    environment = environment_of(ctx)
    wanted = RunId(run_id)
    with (
        reporting(output, in_lines=True) as report,
        control_session(environment, report, target) as control,
    ):
        if report.is_json:
            _print_documents(environment, report, control, wanted, follows=stream)
        elif stream:
            follow_run(environment, report, control, wanted)
        else:
            text = LogText(colours=wants_colours())
            fetch_run(control, wanted)
            for chunk, _ in _what_is_there(control, wanted):
                report.log_text(text.feed(chunk))


class LogLines:
    """Cuts a log into lines, each with the time at which the SuperLink had it whole."""

    def __init__(self, report: Report, run_id: RunId) -> None:
        self._report, self._run_id = report, run_id
        self._text = LogText(colours=False)
        self._rest, self._stamp = "", 0.0

    def feed(self, chunk: str, stamp: float) -> None:
        """Print the lines that ``chunk`` completes."""
        *lines, self._rest = (self._rest + self._text.feed(chunk)).split("\n")
        self._stamp = stamp
        for line in lines:
            self._print(line)

    def end(self, run: Run) -> None:
        """Print what was begun and not ended, and how the run stands."""
        if self._rest:
            self._print(self._rest)
        self._report.result(
            {
                "success": True,
                "run-id": str(self._run_id),
                "status": status_text(run),
                "details": run.details,
            }
        )

    def _print(self, line: str) -> None:
        logged_at = stamp_text(datetime.fromtimestamp(self._stamp, UTC))
        document = {"run-id": str(self._run_id), "logged-at": logged_at, "line": line}
        self._report.result(document)


def _print_documents(
    environment: Environment, report: Report, control: Control, run_id: RunId, *, follows: bool
) -> None:
    lines = LogLines(report, run_id)
    if not follows:
        fetch_run(control, run_id)
        for chunk, stamp in _what_is_there(control, run_id):
            lines.feed(chunk, stamp)
        lines.end(fetch_run(control, run_id))
        return
    follower = Follower(
        control,
        clock=environment.clock,
        pause=environment.pause,
        on_loss=lambda: report.note("Lost the connection to the SuperLink, trying again"),
    )
    ended = follower.until_end(run_id, emit=lambda chunk: lines.feed(chunk, follower.last_stamp))
    lines.end(ended)


def _what_is_there(control: Control, run_id: RunId) -> Iterator[tuple[str, float]]:
    """Yield the log so far."""
    chunks: _Chunks = queue.SimpleQueue()
    # The stream of a running run stays open; a thread reads it so that silence can end the command.
    threading.Thread(target=_read, args=(control, run_id, chunks), daemon=True).start()
    while True:
        try:
            chunk = chunks.get(timeout=_QUIET_S)
        except queue.Empty:
            return
        if chunk is None:
            return
        if isinstance(chunk, FlwrError):
            raise chunk
        yield chunk


def _read(control: Control, run_id: RunId, chunks: _Chunks) -> None:
    try:
        for chunk in control.stream_logs(run_id, 0.0):
            chunks.put(chunk)
        chunks.put(None)
    except FlwrError as error:
        chunks.put(error)
