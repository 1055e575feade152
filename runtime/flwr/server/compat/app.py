"""``start_grid``: runs the parts of a legacy app on a Grid."""

import logging

from flwr.app.console_log import log
from flwr.server.client_manager import ClientManager
from flwr.server.compat.registration import registered
from flwr.server.history import History
from flwr.server.server import Server, init_defaults, run_fl
from flwr.server.server_config import ServerConfig
from flwr.server.strategy.strategy import Strategy
from flwr.serverapp.grid import Grid


def start_grid(
    *,
    grid: Grid,
    server: Server | None = None,
    config: ServerConfig | None = None,
    strategy: Strategy | None = None,
    client_manager: ClientManager | None = None,
) -> History:
    """Run the rounds.

    Args:
        grid: the nodes.
        server: runs the rounds; one is made from ``strategy`` and ``client_manager`` if absent.
        config: how long it goes on; one round if absent.
        strategy: FedAvg if absent.
        client_manager: a SimpleClientManager if absent.

    Returns:
        Losses and metrics.
    """
    server, config = init_defaults(server, config, strategy, client_manager)
    log(logging.INFO, "Starting Flower ServerApp, config: %s", config)
    log(logging.INFO, "")
    with registered(grid, server.client_manager()):
        return run_fl(server=server, config=config)
