"""``flwr local``: the federation that the CLI starts on this machine."""

from typing import Final

import typer

from flwr.cli.environment import environment_of
from flwr.cli.local_processes import is_alive, load_record, stop_processes
from flwr.cli.local_superlink import RECORD
from flwr.cli.options import FormatOpt
from flwr.cli.report import Output, reporting

local = typer.Typer(help="Show or stop the local federation.", no_args_is_help=True)

_NOTHING: Final = "No local federation is running."


@local.command()
def stop(ctx: typer.Context, output: FormatOpt = Output.TEXT) -> None:
    """Stop the local SuperLink and its SuperNodes.  Runs and logs are kept."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        path = environment.local_dir / RECORD
        record = load_record(path)
        stopped = stop_processes(record, environment.pause) if record else []
        path.unlink(missing_ok=True)
        names = ", ".join(process.name for process in stopped)
        report.result(
            {"success": True, "stopped": [{"name": p.name, "pid": p.pid} for p in stopped]},
            text=f"Stopped {names}." if stopped else _NOTHING,
        )


@local.command()
def status(ctx: typer.Context, output: FormatOpt = Output.TEXT) -> None:
    """Show which local daemons run."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        record = load_record(environment.local_dir / RECORD)
        processes = record.processes if record else ()
        rows = [(p.name, str(p.pid), "running" if is_alive(p) else "ended") for p in processes]
        if rows:
            report.table(("Program", "PID", "Status"), rows)
        report.result(
            {
                "success": True,
                "processes": [{"name": n, "pid": int(p), "status": s} for n, p, s in rows],
            },
            text="" if rows else _NOTHING,
        )
