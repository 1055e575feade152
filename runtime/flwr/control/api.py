"""The way to a SuperLink's Control API, opened only when a command needs it.

gRPC is imported here on first use: ``flwr --help`` and offline commands never pay for it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from flwr.control.connection import Connection
from flwr.core.clock import SystemClock
from flwr.core.ids import NodeId, RunId
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.core.run_config import ConfigValue
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.wire.clients.accounts import LoginDetails, Tokens
    from flwr.wire.codec.federations import FederationInfo, Invitations


CREDENTIALS: Final = "credentials.yaml"  # the user's logins, below FLWR_HOME


class Control(Protocol):
    """What the commands ask of a SuperLink."""

    def start_run(
        self,
        fab: bytes,
        overrides: Mapping[str, ConfigValue],
        *,
        federation: str,
        simulation: SimulationConfig | None,
        submit_key: str,
    ) -> RunId:
        """Submit a run; the same key twice is the same run."""
        ...

    def stop_run(self, run_id: RunId) -> None:
        """Stop a run."""
        ...

    def stream_logs(
        self, run_id: RunId, after: float, timeout_s: float | None = None
    ) -> Iterator[tuple[str, float]]:
        """Yield text and stamp of what was logged after the stamp ``after``."""
        ...

    def list_runs(
        self, run_id: RunId | None = None, limit: int | None = None
    ) -> tuple[list[Run], datetime]:
        """Return runs, newest first, and the SuperLink's present instant."""
        ...

    def pull_artifacts(self, run_id: RunId) -> str:
        """Return the address of what a finished run left; not offered by every SuperLink."""
        ...

    def register_node(self, public_key: bytes) -> NodeId:
        """Admit a node by its public key (PEM)."""
        ...

    def unregister_node(self, node_id: NodeId) -> None:
        """Remove a node for good."""
        ...

    def list_nodes(self) -> tuple[list[Node], datetime]:
        """Return the caller's nodes and the SuperLink's present instant."""
        ...

    def list_federations(self) -> "list[FederationInfo]":
        """Return the caller's federations."""
        ...

    def show_federation(self, name: str) -> "tuple[FederationInfo, datetime]":
        """Return one federation with members, nodes and runs."""
        ...

    def login_details(self) -> "LoginDetails":
        """Return how to log in."""
        ...

    def auth_tokens(self, device_code: str) -> "Tokens | None":
        """Return the tokens of a login that was begun; None while it is not finished."""
        ...


class FederationControl(Control, Protocol):
    """What those ask who manage federations; a SuperLink with one federation refuses it."""

    def create_federation(
        self, name: str, description: str = "", *, simulation: bool = False
    ) -> "FederationInfo":
        """Create a federation."""
        ...

    def archive_federation(self, name: str) -> None:
        """Archive a federation; its runs stop."""
        ...

    def add_node_to_federation(self, name: str, node_id: NodeId) -> None:
        """Let a node take part in a federation."""
        ...

    def remove_node_from_federation(self, name: str, node_id: NodeId) -> None:
        """Take a node out of a federation."""
        ...

    def remove_account_from_federation(self, name: str, account: str = "") -> None:
        """Take an account out of a federation; without a name, the caller."""
        ...

    def configure_simulation(self, name: str, config: SimulationConfig) -> None:
        """Change the settings of a simulated federation; what is None stays."""
        ...

    def create_invitation(self, name: str, account: str) -> None:
        """Invite an account into a federation."""
        ...

    def list_invitations(self) -> "Invitations":
        """Return the invitations the caller made and got."""
        ...

    def accept_invitation(self, name: str) -> None:
        """Join a federation the caller is invited to."""
        ...

    def reject_invitation(self, name: str) -> None:
        """Decline an invitation to a federation."""
        ...

    def revoke_invitation(self, name: str, account: str) -> None:
        """Take back an invitation that is not answered yet."""
        ...


def open_control(
    connection: Connection, credentials: Path | None = None
) -> AbstractContextManager[FederationControl]:
    """Return a client of the SuperLink at ``connection``, closed at exit.

    Args:
        connection: the SuperLink.
        credentials: file of the user's logins; their tokens are sent over TLS only.

    Raises:
        FlwrError: the root certificates cannot be used.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines would break into ours
    from flwr.wire.clients import control  # noqa: PLC0415 - imports gRPC

    if connection.insecure:
        return control.open_control(connection.address, None)
    from flwr.auth.certificates import load_client_tls  # noqa: PLC0415 - imports cryptography
    from flwr.control.credentials import Login  # noqa: PLC0415

    trusted = load_client_tls(connection.root_certificates, now=SystemClock().now())
    login = Login(credentials, connection.address) if credentials else None
    return control.open_control(connection.address, trusted, login)
