"""Starting a server by hand: gone with the connection it used, the name says what to do."""

from flwr.client.start import ConnectionGoneError
from flwr.common.constant import GRPC_MAX_MESSAGE_LENGTH
from flwr.server.client_manager import ClientManager
from flwr.server.history import History
from flwr.server.server import Server
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.strategy import Strategy


def start_server(
    *,
    server_address: str = "[::]:8080",
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
    grpc_max_message_length: int = GRPC_MAX_MESSAGE_LENGTH,
    certificates: tuple[bytes, bytes, bytes] | None = None,
) -> History:
    """Refuse; arguments are accepted for the sake of old scripts.

    Raises:
        ConnectionGoneError: always, saying what to do instead.
    """
    raise ConnectionGoneError(
        "flwr.server.start_server",
        "return ServerAppComponents(config=..., strategy=...) from the server_fn of a ServerApp, "
        "start `flower-superlink`, and run the app with `flwr run`",
    )
