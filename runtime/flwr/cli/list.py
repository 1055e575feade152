"""``flwr list``: runs, newest first, or one run in detail."""

from typing import Annotated

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, allows_federation_config, takes_target
from flwr.cli.present import (
    app_text,
    changed_at,
    duration_text,
    elapsed_s,
    run_document,
    run_rows,
    stamp_text,
    status_colour,
    status_text,
)
from flwr.cli.report import Output, reporting
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.core.errors import InvalidError
from flwr.core.ids import RunId
from flwr.core.run import RunNotFoundError

_HEADINGS = ("Run ID", "Federation", "App", "Status", "Elapsed", "Status Changed @")

OneRunOpt = Annotated[int | None, typer.Option("--run-id", min=1, help="Show this run in detail.")]
LimitOpt = Annotated[int | None, typer.Option("--limit", min=1, help="Show this many at most.")]


@allows_federation_config
@takes_target
def list_runs(
    ctx: typer.Context,
    target: Target,
    run_id: OneRunOpt = None,
    limit: LimitOpt = None,
    output: FormatOpt = Output.TEXT,
) -> None:
    """List runs, newest first, or show one (alias: ls)."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        if run_id is not None and limit is not None:
            raise InvalidError("--run-id and --limit exclude each other")
        with control_session(environment, report, target) as control:
            wanted = RunId(run_id) if run_id is not None else None
            runs, now = control.list_runs(wanted, limit)
        if wanted is not None and not runs:
            raise RunNotFoundError(wanted)
        if wanted is not None:
            report.table(("", ""), run_rows(runs[0], now))
        else:
            report.table(
                _HEADINGS,
                [
                    (
                        str(run.run_id),
                        run.federation,
                        app_text(run),
                        status_text(run),
                        duration_text(elapsed_s(run, now)),
                        stamp_text(changed_at(run)),
                    )
                    for run in runs
                ],
                colours=[status_colour(run) for run in runs],
                empty="No runs yet.",
                spare="Federation",
            )
        report.result({"success": True, "runs": [run_document(run, now) for run in runs]})
