"""``flwr log``: the log of a run, live or as far as it is written."""

from typing import Annotated

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import RunIdArg, takes_target
from flwr.cli.report import Output, reporting, wants_colours
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.control.follow import Follower, log_so_far
from flwr.control.terminal import LogText
from flwr.core.ids import RunId

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
            for chunk in log_so_far(control, RunId(run_id), clock=environment.clock):
                report.log_text(text.feed(chunk))
