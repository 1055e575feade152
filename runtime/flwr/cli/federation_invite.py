"""``flwr federation invite``: who is asked into which federation."""

from typing import Annotated, Any, Final

import typer

from flwr.cli.federation_management import managing
from flwr.cli.options import FederationArg, FormatOpt, takes_target
from flwr.cli.present import invitation_document, stamp_text
from flwr.cli.report import Output
from flwr.control.connection import Target

_HEADINGS: Final = ("Federation", "Inviter", "Invitee", "Status", "Created At", "Status Changed @")

invite = typer.Typer(help="Invite accounts into a federation.", no_args_is_help=True)

AccountArg = Annotated[str, typer.Argument(metavar="ACCOUNT", help="Name of the account.")]
VerboseOpt = Annotated[
    bool, typer.Option("--verbose", "-v", help="Show those that are no longer open as well.")
]


@invite.command("ls", hidden=True)
@invite.command("list")
@takes_target
def list_invitations(
    ctx: typer.Context,
    target: Target,
    verbose: VerboseOpt = False,
    output: FormatOpt = Output.TEXT,
) -> None:
    """List the invitations you made and got (alias: ls)."""
    with managing(ctx, target, output) as (report, control):
        found = control.list_invitations()
        document: dict[str, Any] = {"success": True}
        for kind, those in (("created", found.created), ("received", found.received)):
            shown = [each for each in those if verbose or each.is_open]
            document[kind] = [invitation_document(each) for each in shown]
            report.table(
                _HEADINGS,
                [
                    (
                        each.federation,
                        each.inviter,
                        each.invitee,
                        each.status,
                        stamp_text(each.created_at),
                        stamp_text(each.changed_at),
                    )
                    for each in shown
                ],
                title=kind.capitalize(),
            )
        report.result(document)


@invite.command("create")
@takes_target
def create_invitation(
    ctx: typer.Context,
    account: AccountArg,
    name: FederationArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Invite an account into a federation."""
    with managing(ctx, target, output) as (report, control):
        control.create_invitation(name, account)
        report.result(
            {"success": True, "account": account, "federation": name},
            text=f"Account {account} invited into federation {name}.",
        )


@invite.command()
@takes_target
def accept(
    ctx: typer.Context, name: FederationArg, target: Target, output: FormatOpt = Output.TEXT
) -> None:
    """Join a federation you are invited to."""
    with managing(ctx, target, output) as (report, control):
        control.accept_invitation(name)
        report.result({"success": True, "federation": name}, text=f"Joined federation {name}.")


@invite.command()
@takes_target
def reject(
    ctx: typer.Context, name: FederationArg, target: Target, output: FormatOpt = Output.TEXT
) -> None:
    """Decline an invitation."""
    with managing(ctx, target, output) as (report, control):
        control.reject_invitation(name)
        report.result(
            {"success": True, "federation": name}, text=f"Invitation into {name} declined."
        )


@invite.command()
@takes_target
def revoke(
    ctx: typer.Context,
    account: AccountArg,
    name: FederationArg,
    target: Target,
    output: FormatOpt = Output.TEXT,
) -> None:
    """Take back an invitation that is not answered yet."""
    with managing(ctx, target, output) as (report, control):
        control.revoke_invitation(name, account)
        report.result(
            {"success": True, "account": account, "federation": name},
            text=f"Invitation of {account} into {name} taken back.",
        )
