"""``flwr login``: become somebody at a SuperLink that has accounts."""

import typer

from flwr.cli.environment import environment_of
from flwr.cli.options import FormatOpt, allows_federation_config, takes_target
from flwr.cli.report import Output, reporting
from flwr.cli.session import find_connection, open_session
from flwr.control.connection import Connection, Target
from flwr.control.login import NoAccountsError, await_tokens, begin_login
from flwr.core.errors import InvalidError


class InsecureLoginError(InvalidError):
    """A login would travel in clear text."""

    def __init__(self, connection: Connection) -> None:
        """Name the SuperLink and where it is described."""
        says_so = "--insecure" if connection.name == connection.address else "insecure"
        super().__init__(
            f"no login at {connection.address} in clear text: anybody on the way could use it",
            hint=f"leave out {says_so} ({connection.source}): the connection then uses TLS, with "
            "the authority of root-certificates or the public ones",
        )


@allows_federation_config
@takes_target
def login(ctx: typer.Context, target: Target, output: FormatOpt = Output.TEXT) -> None:
    """Log in at a SuperLink that has accounts.

    Open the page that is shown and log in there; this command waits until that is done.
    """
    from flwr.control.credentials import Login  # noqa: PLC0415 - imports YAML and protobuf

    environment = environment_of(ctx)
    with reporting(output) as report:
        connection = find_connection(environment, report, target)
        if connection.is_local:
            raise NoAccountsError(connection.name)
        if connection.insecure:
            raise InsecureLoginError(connection)
        with open_session(environment, report, connection) as session:
            details = begin_login(session.control, connection.name)
            report.note(f"Open this page and log in there: {details.verification_uri}")
            tokens = await_tokens(
                session.control, details, clock=environment.clock, pause=environment.pause
            )
        Login(environment.credentials_file, connection.address).save(tokens)
        report.result(
            {
                "success": True,
                "superlink": connection.name,
                "address": connection.address,
                "authn-type": details.authn_type,
            },
            text=f"Logged in at {connection.name}.",
        )
