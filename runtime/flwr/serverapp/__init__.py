"""The server's half of an app: ``ServerApp``, its ``Grid``, and strategies."""

from flwr.serverapp import strategy
from flwr.serverapp.grid import Grid
from flwr.serverapp.server_app import ServerApp

__all__ = ["Grid", "ServerApp", "strategy"]
