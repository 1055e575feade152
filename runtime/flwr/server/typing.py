"""Types of the functions a legacy server app is made of."""

from collections.abc import Callable

from flwr.app.context import Context
from flwr.server.serverapp_components import ServerAppComponents
from flwr.serverapp.grid import Grid
from flwr.serverapp.server_app import ServerAppCallable

__all__ = ["ServerAppCallable", "ServerFn", "Workflow"]

ServerFn = Callable[[Context], ServerAppComponents]
"""Makes the parts of the app from the context of the run."""

Workflow = Callable[[Grid, Context], None]
"""Does some of the work of a round."""
