"""Commands below ``flwr federation`` that change a federation; most SuperLinks have just one."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import (
    DEFAULT_TARGET,
    FederationArg,
    FormatOpt,
    NodeIdArg,
    takes_target,
)
from flwr.cli.report import Output, Report, reporting
from flwr.cli.session import control_session
from flwr.control.api import FederationControl
from flwr.control.connection import Target
from flwr.core.errors import UnimplementedError
from flwr.core.ids import NodeId

NewNameArg = Annotated[
    str, typer.Argument(metavar="FEDERATION", help="Name of the new federation.")
]
DescriptionOpt = Annotated[str, typer.Option("--description", help="What it is for.")]
SimulationOpt = Annotated[
    bool, typer.Option("--simulation", help="Execute its runs as simulations.")
]
OptionalAccountArg = Annotated[
    str, typer.Argument(metavar="ACCOUNT", help="Name of the account; left out: your own.")
]


class NoManagementError(UnimplementedError):
    """The SuperLink has the one federation it was started with."""

    def __init__(self) -> None:
        """Say what holds instead."""
        super().__init__(
            "SuperLink does not support federation management.",
            hint="every account and node of this SuperLink is in the one federation it has",
        )


@contextmanager
def managing(
    ctx: typer.Context, target: Target, output: Output
) -> Iterator[tuple[Report, FederationControl]]:
    """Open the SuperLink for a command that manages federations."""
    environment = environment_of(ctx)
    with reporting(output) as report, control_session(environment, report, target) as control:
        try:
            yield report, control
        except UnimplementedError as cause:
            raise NoManagementError from cause


def create(
    ctx: typer.Context,
    name: NewNameArg,
    target: Target,
    description: DescriptionOpt = "",
    simulation: SimulationOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Create a federation."""
    with managing(ctx, target, output) as (report, control):
        made = control.create_federation(name, description, simulation=simulation)
        report.result(
            {
                "success": True,
                "federation": made.name,
                "description": made.description,
                "simulation": made.simulation,
            },
            text=f"Federation {made.name} created.",
        )


def archive(
    ctx: typer.Context,
    name: FederationArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Archive a federation; its runs stop."""
    with managing(ctx, target, output) as (report, control):
        control.archive_federation(name)
        report.result({"success": True, "federation": name}, text=f"Federation {name} archived.")


def add_supernode(
    ctx: typer.Context,
    node_id: NodeIdArg,
    name: FederationArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Let a SuperNode take part in a federation."""
    with managing(ctx, target, output) as (report, control):
        control.add_node_to_federation(name, NodeId(node_id))
        report.result(
            {"success": True, "node-id": str(node_id), "federation": name},
            text=f"SuperNode {node_id} added to federation {name}.",
        )


def remove_supernode(
    ctx: typer.Context,
    node_id: NodeIdArg,
    name: FederationArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Take a SuperNode out of a federation."""
    with managing(ctx, target, output) as (report, control):
        control.remove_node_from_federation(name, NodeId(node_id))
        report.result(
            {"success": True, "node-id": str(node_id), "federation": name},
            text=f"SuperNode {node_id} removed from federation {name}.",
        )


def remove_account(
    ctx: typer.Context,
    name: FederationArg,
    account: OptionalAccountArg = "",
    target: Target = DEFAULT_TARGET,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Take an account out of a federation."""
    with managing(ctx, target, output) as (report, control):
        control.remove_account_from_federation(name, account)
        report.result(
            {"success": True, "federation": name, "account": account or None},
            text=f"{f'Account {account}' if account else 'Your account'} removed from {name}.",
        )


def add_management(group: typer.Typer) -> None:
    """Add these commands to ``flwr federation``."""
    for command in (create, archive, add_supernode, remove_supernode, remove_account):
        group.command(command.__name__.replace("_", "-"))(takes_target(command))
