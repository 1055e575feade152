"""The way to a SuperLink's Control API, opened only when a command needs it.

gRPC is imported here on first use: ``flwr --help`` and offline commands never pay for it.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from flwr.control.connection import Connection
from flwr.core.clock import SystemClock
from flwr.core.ids import NodeId, RunId
from flwr.core.node import Node
from flwr.core.run import Run
from flwr.core.run_config import ConfigValue
from flwr.core.simulation import SimulationConfig

if TYPE_CHECKING:
    from flwr.wire.codec.federations import FederationInfo


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


def open_control(connection: Connection) -> AbstractContextManager[Control]:
    """Return a client of the SuperLink at ``connection``, closed at exit.

    Raises:
        FlwrError: the root certificates cannot be used.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # its lines would break into ours
    from flwr.auth.certificates import load_client_tls  # noqa: PLC0415 - imports cryptography
    from flwr.wire.clients import control  # noqa: PLC0415 - imports gRPC

    now = SystemClock().now()
    trusted = (
        None if connection.insecure else load_client_tls(connection.root_certificates, now=now)
    )
    return control.open_control(connection.address, trusted)
