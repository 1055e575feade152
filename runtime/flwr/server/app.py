"""Legacy home of ``start_server`` and of what was passed to it."""

from flwr.server.server_config import ServerConfig
from flwr.server.start import start_server

__all__ = ["ServerConfig", "start_server"]
