"""Legacy home of ``Message`` and what belongs to it."""

from flwr.app.error import Error
from flwr.app.message import Message, MessageInitializationError
from flwr.app.metadata import Metadata
from flwr.core.limits import DEFAULT_TTL_S as DEFAULT_TTL

__all__ = ["DEFAULT_TTL", "Error", "Message", "MessageInitializationError", "Metadata"]
