"""Types of the functions a legacy client app is made of."""

from collections.abc import Callable

from flwr.app.context import Context
from flwr.client.client import Client
from flwr.clientapp.typing import ClientAppCallable, Mod

__all__ = ["ClientAppCallable", "ClientFn", "ClientFnExt", "Mod"]

ClientFn = Callable[[str], Client]
"""Makes a client from the id of a partition, as text."""

ClientFnExt = Callable[[Context], Client]
"""Makes a client from the context of its node."""
