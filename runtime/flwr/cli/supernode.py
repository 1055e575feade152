"""``flwr supernode``: which nodes may join, and which have."""

from pathlib import Path
from typing import Annotated, Final

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, NodeIdArg, takes_target
from flwr.cli.present import (
    duration_text,
    node_changed_at,
    node_colour,
    node_document,
    node_online_s,
    stamp_text,
)
from flwr.cli.report import Output, reporting
from flwr.cli.session import control_session
from flwr.control.connection import Target
from flwr.core.ids import NodeId
from flwr.core.node import NodeStatus

_HEADINGS: Final = ("Node ID", "Owner", "Status", "Elapsed", "Status Changed @")

supernode = typer.Typer(help="Register, unregister and list SuperNodes.", no_args_is_help=True)

PublicKeyArg = Annotated[
    Path, typer.Argument(metavar="PUBLIC_KEY", help="Public key file (OpenSSH or PEM, NIST EC).")
]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show unregistered nodes as well.")
]


@supernode.command()
@takes_target
def register(
    ctx: typer.Context,
    public_key: PublicKeyArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Admit a SuperNode by its public key."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        key = load_public_key(public_key)
        with control_session(environment, report, target) as control:
            node_id = control.register_node(key)
        report.result(
            {"success": True, "node-id": int(node_id)},
            text=f"SuperNode {node_id} registered successfully.",
        )


@supernode.command()
@takes_target
def unregister(
    ctx: typer.Context,
    node_id: NodeIdArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Remove a SuperNode for good; it loses access at its next call."""
    environment = environment_of(ctx)
    with (
        reporting(output) as report,
        control_session(environment, report, target) as control,
    ):
        control.unregister_node(NodeId(node_id))
        report.result(
            {"success": True, "node-id": str(node_id)},
            text=f"SuperNode {node_id} unregistered successfully.",
        )


@supernode.command("ls", hidden=True)
@supernode.command("list")
@takes_target
def list_nodes(
    ctx: typer.Context,
    target: Target,
    verbose: VerboseOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """List your SuperNodes (alias: ls)."""
    environment = environment_of(ctx)
    with reporting(output) as report:
        with control_session(environment, report, target) as control:
            every, now = control.list_nodes()
        nodes = [n for n in every if verbose or n.status is not NodeStatus.UNREGISTERED]
        report.table(
            _HEADINGS,
            [
                (
                    str(node.node_id),
                    node.owner_name,
                    str(node.status),
                    duration_text(node_online_s(node, now)),
                    stamp_text(node_changed_at(node)),
                )
                for node in nodes
            ],
            colours=[node_colour(node) for node in nodes],
            empty="No SuperNodes.",
        )
        report.result({"success": True, "nodes": [node_document(node, now) for node in nodes]})


def load_public_key(path: Path) -> bytes:
    """Return the key of a file in the form the wire wants.

    Raises:
        KeyFileError: naming the file and what is wrong.
    """
    from flwr.auth import node_keys  # noqa: PLC0415 - cryptography is slow

    return node_keys.load_public_key(path)
