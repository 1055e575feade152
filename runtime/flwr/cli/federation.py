"""``flwr federation``: the federations of a SuperLink."""

from dataclasses import asdict
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flwr.cli.completion import offer_federations
from flwr.cli.environment import environment_of
from flwr.cli.federation_invite import invite
from flwr.cli.federation_management import add_management
from flwr.cli.federation_simulation import simulation_config
from flwr.cli.options import FederationArg, FormatOpt, takes_target
from flwr.cli.present import (
    app_text,
    duration_text,
    elapsed_s,
    federation_document,
    simulation_document,
    status_text,
)
from flwr.cli.report import Output, Report, reporting
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.core.node import NodeStatus
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.wire.codec.federations import FederationInfo

federation = typer.Typer(help="List, show and manage federations.", no_args_is_help=True)

OneOpt = Annotated[
    str,
    typer.Option(
        "--federation", help="Show this federation in detail.", autocompletion=offer_federations
    ),
]
VerboseOpt = Annotated[
    bool,
    typer.Option(
        "--verbose", "-v", help="Show archived federations and unregistered nodes as well."
    ),
]


@federation.command("ls", hidden=True)
@federation.command("list")
@takes_target
def list_federations(
    ctx: typer.Context,
    target: Target,
    name: OneOpt = "",
    verbose: VerboseOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """List your federations, or show one (alias: ls)."""
    if name:
        _show(ctx, target, name, verbose=verbose, output=output)
        return
    environment = environment_of(ctx)
    with reporting(output) as report:
        with control_session(environment, report, target) as control:
            every = control.list_federations()
        found = [each for each in every if verbose or not each.archived]
        report.table(
            ("Federation", "Description", "Runtime", "Status"),
            [(f.name, f.description, _runtime(f), _status(f)) for f in found],
        )
        report.result({"federations": [federation_document(f) for f in found]})


@federation.command()
@takes_target
def show(
    ctx: typer.Context,
    name: FederationArg,
    target: Target,
    verbose: VerboseOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Show a federation's members, nodes and runs."""
    _show(ctx, target, name, verbose=verbose, output=output)


def _show(ctx: typer.Context, target: Target, name: str, *, verbose: bool, output: Output) -> None:
    environment = environment_of(ctx)
    with reporting(output) as report:
        with control_session(environment, report, target) as control:
            found, now = control.show_federation(name)
        _print_tables(report, found, now, verbose=verbose)
        report.result({"federation": _document(found, now, verbose=verbose)})


def _document(found: "FederationInfo", now: datetime, *, verbose: bool) -> dict[str, Any]:
    return {
        "members": [{"member_id": m.name, "role": m.role} for m in found.members],
        "nodes": [
            {"node_id": str(n.node_id), "owner": n.owner_name, "status": str(n.status)}
            for n in found.nodes
            if verbose or n.status is not NodeStatus.UNREGISTERED
        ],
        "runs": [
            {
                "run_id": str(r.run_id),
                "app": app_text(r),
                "status": status_text(r),
                "elapsed": duration_text(elapsed_s(r, now)),
            }
            for r in found.runs
        ],
        "archived": found.archived,
        "simulation": found.simulation,
        "simulation-config": asdict(found.config or SimulationConfig()),
    }


def _print_tables(report: Report, found: "FederationInfo", now: datetime, *, verbose: bool) -> None:
    document = _document(found, now, verbose=verbose)
    report.line(f"Federation {found.name} ({_runtime(found)}, {_status(found)})")
    tables: list[tuple[str, tuple[str, ...], Any]] = [
        ("Members", ("Account Name", "Role"), document["members"])
    ]
    if not found.simulation:
        tables += [("SuperNodes", ("Node ID", "Owner", "Status"), document["nodes"])]
    tables += [("Runs", ("Run ID", "App", "Status", "Elapsed"), document["runs"])]
    if found.simulation:
        settings = simulation_document(found.config).items()
        rows = [{"key": key.replace("_", "-"), "value": value} for key, value in settings]
        tables += [("Simulation", ("Setting", "Value"), rows)]
    for title, headings, rows in tables:
        report.line("")
        report.table(
            headings,
            [tuple(map(str, row.values())) for row in rows],
            title=title,
            empty=f"No {title if title == 'SuperNodes' else title.lower()}.",
        )


def _runtime(found: "FederationInfo") -> str:
    return "simulation" if found.simulation else "deployment"


def _status(found: "FederationInfo") -> str:
    return "archived" if found.archived else "active"


federation.command("simulation-config")(simulation_config)
federation.add_typer(invite, name="invite")
add_management(federation)
