"""``flwr stop``: end a run before its time."""

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, RunIdArg, allows_federation_config, takes_target
from flwr.cli.report import Output, reporting
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.core.ids import RunId


@allows_federation_config
@takes_target
def stop(
    ctx: typer.Context,
    run_id: RunIdArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Stop a run.

    Its processes end on the server and on every node.  Stopping a finished run is an error.
    """
    environment = environment_of(ctx)
    with (
        reporting(output) as report,
        control_session(environment, report, target) as control,
    ):
        control.stop_run(RunId(run_id))
        report.result(
            {"success": True, "run-id": str(run_id)},
            text=f"Run {run_id} successfully stopped.",
        )
