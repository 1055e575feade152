"""Types of the functions of a ClientApp."""

from collections.abc import Callable

from flwr.app.context import Context
from flwr.app.message import Message

ClientAppCallable = Callable[[Message, Context], Message]
"""What answers a message."""

Mod = Callable[[Message, Context, ClientAppCallable], Message]
"""Wraps what answers: gets the message, the context, and the next in line to call."""
