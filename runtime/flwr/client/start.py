"""Starting a client by hand: gone with the connection it used, the names say what to do."""

from typing import Any, Never

from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.client.typing import ClientFnExt
from flwr.common.constant import GRPC_MAX_MESSAGE_LENGTH
from flwr.core.errors import FailedPreconditionError


class ConnectionGoneError(FailedPreconditionError):
    """The old kind of connection between clients and servers is not part of this release."""

    def __init__(self, function: str, instead: str) -> None:
        super().__init__(f"{function} is not part of this release", hint=instead)


def start_client(
    *,
    server_address: str,
    client_fn: ClientFnExt | None = None,
    client: Client | None = None,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    root_certificates: bytes | str | None = None,
    insecure: bool | None = None,
    transport: str | None = None,
    authentication_keys: tuple[Any, Any] | None = None,
    max_retries: int | None = None,
    max_wait_time: float | None = None,
) -> None:
    """Refuse; arguments are accepted for the sake of old scripts.

    Raises:
        ConnectionGoneError: always, saying what to do instead.
    """
    _refuse("flwr.client.start_client")


def start_numpy_client(
    *,
    server_address: str,
    client: NumPyClient,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    root_certificates: bytes | None = None,
    insecure: bool | None = None,
    transport: str | None = None,
) -> None:
    """Refuse; arguments are accepted for the sake of old scripts.

    Raises:
        ConnectionGoneError: always, saying what to do instead.
    """
    _refuse("flwr.client.start_numpy_client")


def _refuse(function: str) -> Never:
    raise ConnectionGoneError(
        function,
        "put the client into an app, ClientApp(client_fn=...), start `flower-supernode` on the "
        "client's machine, and run the app with `flwr run`",
    )
