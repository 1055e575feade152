"""``flwr stop``: end a run before its time."""

import typer

from flwr.cli.connection import Target
from flwr.cli.environment import environment_of
from flwr.cli.options import (
    AddressOpt,
    ConnectionArg,
    FormatOpt,
    InsecureOpt,
    RootCertificatesOpt,
    RunIdArg,
)
from flwr.cli.report import Output, reporting
from flwr.cli.session import control_session
from flwr.core.ids import RunId


def stop(
    ctx: typer.Context,
    run_id: RunIdArg,
    superlink: ConnectionArg = None,
    address: AddressOpt = None,
    root_certificates: RootCertificatesOpt = None,
    insecure: InsecureOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Stop a run.

    Its processes end on the server and on every node.  Stopping a finished run is an error.
    """
    environment = environment_of(ctx)
    target = Target(
        name=superlink,
        address=address,
        root_certificates=root_certificates,
        insecure=insecure,
    )
    with (
        reporting(output) as report,
        control_session(environment, report, target) as control,
    ):
        control.stop_run(RunId(run_id))
        report.result(
            {"success": True, "run-id": str(run_id)},
            text=f"Run {run_id} successfully stopped.",
        )
