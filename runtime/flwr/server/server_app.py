"""Legacy home of ``ServerApp``."""

from flwr.serverapp.exception import LoadServerAppError
from flwr.serverapp.server_app import ServerApp

__all__ = ["LoadServerAppError", "ServerApp"]
