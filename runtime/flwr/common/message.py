"""Legacy home of ``Message`` and what belongs to it."""

from flwr.app.error import Error
from flwr.app.message import Message, MessageInitializationError, restore
from flwr.app.metadata import Metadata
from flwr.app.recorddict import RecordDict
from flwr.core.limits import DEFAULT_TTL_S as DEFAULT_TTL

__all__ = [
    "DEFAULT_TTL",
    "Error",
    "Message",
    "MessageInitializationError",
    "Metadata",
    "make_message",
    "remove_content_from_message",
]

make_message = restore


def remove_content_from_message(message: Message) -> Message:
    """Return a message of the same metadata with empty content; one with an error as it is."""
    return message if message.has_error() else restore(message.metadata, RecordDict())
