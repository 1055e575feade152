"""Message types: the categories and the grammar ``<category>[.<action>]`` (wire contract §7.2)."""

from typing import Final, Self

from flwr.core.message import SYSTEM_MESSAGE

DEFAULT_ACTION: Final = "default"


class MessageType:
    """Categories an app handles."""

    TRAIN: Final = "train"
    EVALUATE: Final = "evaluate"
    QUERY: Final = "query"

    def __new__(cls) -> Self:
        """Refuse: this class is a list of names.

        Raises:
            TypeError: always.
        """
        raise TypeError(f"{cls.__name__} cannot be instantiated")


class MessageTypeLegacy:
    """Further types of apps written for the legacy ``client_fn``."""

    GET_PARAMETERS: Final = "get_parameters"
    GET_PROPERTIES: Final = "get_properties"
    RECONNECT: Final = "reconnect"


CATEGORIES: Final = (MessageType.TRAIN, MessageType.EVALUATE, MessageType.QUERY)
_DOTTABLE: Final = frozenset({*CATEGORIES, SYSTEM_MESSAGE})
_WHOLE: Final = frozenset(
    {
        MessageTypeLegacy.GET_PARAMETERS,
        MessageTypeLegacy.GET_PROPERTIES,
        MessageTypeLegacy.RECONNECT,
    },
)


def require_message_type(message_type: str) -> str:
    """Return ``message_type`` if the grammar allows it.

    Raises:
        ValueError: it does not.
    """
    category, dot, action = message_type.partition(".")
    is_dotted = category in _DOTTABLE and (not dot or action.isidentifier())
    if is_dotted or message_type in _WHOLE:
        return message_type
    raise ValueError(
        f"Invalid message type: '{message_type}'. Expected '<category>' or '<category>.<action>', "
        "where <category> is 'train', 'evaluate' or 'query', and <action> is a valid Python "
        "identifier.",
    )
