"""``flwr log``: the log of a run, live or as far as it is written."""

import queue
import threading
from typing import Annotated, Final

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import RunIdArg, takes_target
from flwr.cli.report import Output, Report, reporting, wants_colours
from flwr.cli.session import control_session
from flwr.control.api import Control
from flwr.control.connection import Target
from flwr.control.follow import Follower, fetch_run
from flwr.control.terminal import LogText
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId

_QUIET_S: Final = 1.0  # a live log that says nothing this long has been shown whole

StreamOpt = Annotated[
    bool,
    typer.Option("--stream/--show", help="Follow the log to the run's end, or show what is there."),
]


@takes_target
def log(
    ctx: typer.Context,
    run_id: RunIdArg,
    target: Target,
    stream: StreamOpt = True,
) -> None:
    """Show the log of a run.

    A lost connection is taken up again where it broke.
    """
    environment = environment_of(ctx)
    with (
        reporting(Output.TEXT) as report,
        control_session(environment, report, target) as control,
    ):
        text = LogText(colours=wants_colours())
        if stream:
            Follower(
                control,
                clock=environment.clock,
                pause=environment.pause,
                on_loss=lambda: report.note("Lost the connection to the SuperLink, trying again"),
            ).until_end(RunId(run_id), emit=lambda chunk: report.log_text(text.feed(chunk)))
        else:
            _show(control, report, RunId(run_id), text)


def _show(control: Control, report: Report, run_id: RunId, text: LogText) -> None:
    fetch_run(control, run_id)
    chunks: queue.SimpleQueue[str | FlwrError | None] = queue.SimpleQueue()
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
        report.log_text(text.feed(chunk))


def _read(
    control: Control, run_id: RunId, chunks: "queue.SimpleQueue[str | FlwrError | None]"
) -> None:
    try:
        for chunk, _ in control.stream_logs(run_id, 0.0):
            chunks.put(chunk)
        chunks.put(None)
    except FlwrError as error:
        chunks.put(error)
