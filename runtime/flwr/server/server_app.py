"""Legacy home of ``ServerApp``."""

from flwr.server.typing import ServerFn
from flwr.serverapp.exception import LoadServerAppError
from flwr.serverapp.server_app import ServerApp, ServerAppCallable

__all__ = ["LoadServerAppError", "ServerApp", "ServerAppCallable", "ServerFn"]
