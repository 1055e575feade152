"""ServerAppComponents: what the ``server_fn`` of a legacy app returns."""

from dataclasses import dataclass

from flwr.server.client_manager import ClientManager
from flwr.server.server import Server
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.strategy import Strategy


@dataclass
class ServerAppComponents:
    """Parts of a legacy app; defaults take the place of those left out.

    Attributes:
        server: runs the rounds; has a strategy and a client manager of its own.
        config: how long the run goes on.
        strategy: of the server that is made if none is given.
        client_manager: likewise.
    """

    server: Server | None = None
    config: ServerConfig | None = None
    strategy: Strategy | None = None
    client_manager: ClientManager | None = None
