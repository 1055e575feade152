"""``flwr federation``: the federations of a SuperLink."""

from collections.abc import Callable
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Final, NoReturn

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, takes_target
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
from flwr.core.errors import UnimplementedError
from flwr.core.node import NodeStatus

if TYPE_CHECKING:
    from flwr.wire.codec.federations import FederationInfo

_UNMANAGED: Final = (
    *("create", "archive", "add-supernode", "remove-supernode", "remove-account"),
    *("simulation-config", "invite"),
)
_ANY_ARGUMENTS: Final = {"allow_extra_args": True, "ignore_unknown_options": True}

federation = typer.Typer(help="List federations and show one.", no_args_is_help=True)

OneOpt = Annotated[str, typer.Option("--federation", help="Show this federation in detail.")]
NameArg = Annotated[str, typer.Argument(metavar="FEDERATION", help="Name of the federation.")]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show unregistered nodes as well.")
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
    """List your federations."""
    if name:
        _show(ctx, target, name, verbose=verbose, output=output)
        return
    environment = environment_of(ctx)
    with reporting(output) as report:
        with control_session(environment, report, target) as control:
            found = control.list_federations()
        report.table(
            ("Federation", "Description", "Runtime", "Status"),
            [(f.name, f.description, _runtime(f), _status(f)) for f in found],
        )
        report.result({"federations": [federation_document(f) for f in found]})


@federation.command()
@takes_target
def show(
    ctx: typer.Context,
    name: NameArg,
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
        "members": [{"member_id": m.account_id, "role": m.role} for m in found.members],
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
        "simulation-config": simulation_document(found.config),
    }


def _print_tables(report: Report, found: "FederationInfo", now: datetime, *, verbose: bool) -> None:
    document = _document(found, now, verbose=verbose)
    report.line(f"Federation {found.name} ({_runtime(found)}, {_status(found)})")
    for title, headings, rows in (
        ("Members", ("Member ID", "Role"), document["members"]),
        ("SuperNodes", ("Node ID", "Owner", "Status"), document["nodes"]),
        ("Runs", ("Run ID", "App", "Status", "Elapsed"), document["runs"]),
    ):
        report.table(headings, [tuple(map(str, row.values())) for row in rows], title=title)


def _runtime(found: "FederationInfo") -> str:
    return "simulation" if found.simulation else "deployment"


def _status(found: "FederationInfo") -> str:
    return "archived" if found.archived else "active"


def _unmanaged(name: str) -> Callable[..., None]:
    def refuse(ctx: typer.Context, output: FormatOpt = Output.TEXT) -> NoReturn:
        del ctx  # its arguments change nothing
        with reporting(output):
            raise UnimplementedError(
                f"flwr federation {name}: SuperLink does not support federation management.",
                hint="every account and node of this SuperLink is in the one federation it has",
            )
        raise AssertionError("reporting turns the error into an exit")

    return refuse


for _name in _UNMANAGED:
    federation.command(
        _name,
        context_settings=_ANY_ARGUMENTS,
        help="Not supported by this SuperLink.",
    )(_unmanaged(_name))
