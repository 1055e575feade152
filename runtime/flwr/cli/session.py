"""One command's talk with a SuperLink: find the connection, open it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from flwr.cli.environment import Environment
from flwr.cli.report import Report
from flwr.control.api import FederationControl
from flwr.control.connection import DEFAULT_CONFIG, Connection, Target, resolve
from flwr.core.errors import UnauthenticatedError


@dataclass(frozen=True, slots=True)
class Session:
    """An open connection and what it was made from."""

    control: FederationControl
    connection: Connection


def find_connection(
    environment: Environment,
    report: Report,
    target: Target,
    app_dir: Path | None = None,
    *,
    fetched: Path | None = None,
) -> Connection:
    """Return the wanted connection; tell what was odd about it.

    Args:
        environment: where the user's own connections are.
        report: takes warnings.
        target: what the user said.
        app_dir: the project whose connections count; None: that of the current folder.
        fetched: a project from elsewhere, whose connections count only by name, and last.

    Raises:
        ConnectionConfigError: flags or files contradict themselves.
        ConnectionNotFoundError: it does not exist.
    """
    if target.address is None:
        _write_default_config(environment, report)
    connection = resolve(
        target,
        config_file=environment.config_file,
        app_dir=app_dir or Path.cwd(),
        fetched_dir=fetched,
    )
    for warning in connection.warnings:
        report.note(f"Warning: {warning}")
    return connection


@contextmanager
def open_session(
    environment: Environment, report: Report, connection: Connection
) -> Iterator[Session]:
    """Open ``connection``, starting the local SuperLink if that is meant.

    Raises:
        LocalStartError: the local SuperLink does not start.
        UnauthenticatedError: the SuperLink wants to know who asks; the hint says how to log in.
    """
    if connection.is_local:
        from flwr.cli.local_superlink import ensure_local  # noqa: PLC0415 - starts processes

        connection = ensure_local(environment, report, connection)
    try:
        with environment.connect(connection) as control:
            yield Session(control, connection)
    except UnauthenticatedError as error:
        error.hint = error.hint or f"log in first: {login_command(connection)}"
        raise


def login_command(connection: Connection) -> str:
    """Return what to type to log in at ``connection``."""
    name = connection.name
    return f"flwr login {name if name != connection.address else f'--superlink {name}'}"


@contextmanager
def control_session(
    environment: Environment, report: Report, target: Target
) -> Iterator[FederationControl]:
    """Open the SuperLink a command means by ``target``."""
    connection = find_connection(environment, report, target)
    with open_session(environment, report, connection) as session:
        yield session.control


def _write_default_config(environment: Environment, report: Report) -> None:
    """Give the user a file to edit; do without where the home cannot be written."""
    path = environment.config_file
    if path.exists():
        return
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(DEFAULT_CONFIG)
    except OSError:
        return
    report.note(f"Created {path} with the connection 'local'")
