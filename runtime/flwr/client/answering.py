"""One message answered by a legacy client: a fresh client for each, as ``client_fn`` makes it."""

from typing import Any

from flwr.app.console_log import logger
from flwr.app.context import Context
from flwr.app.message import Message
from flwr.app.message_type import MessageType, MessageTypeLegacy
from flwr.app.recorddict import RecordDict
from flwr.client.client import Client
from flwr.client.numpy_client import NumPyClient
from flwr.clientapp.legacy_client import ClientFn
from flwr.clientapp.typing import ClientAppCallable
from flwr.common import recorddict_compat as compat


def answering(client_fn: ClientFn) -> ClientAppCallable:
    """Return the function that answers messages by means of ``client_fn``."""

    def answer(message: Message, context: Context) -> Message:
        content = _answer(_client(client_fn(context)), message)
        return Message(content, reply_to=message)

    return answer


def _client(made: Any) -> Client:
    if isinstance(made, Client):
        return made
    if not isinstance(made, NumPyClient):
        raise TypeError(
            f"client_fn returned {type(made).__name__}, it must return a Client; "
            "end it with `return MyNumPyClient(...).to_client()`"
        )
    logger.warning("Deprecation Warning: client_fn returned a NumPyClient; return its to_client()")
    return made.to_client()


def _answer(client: Client, message: Message) -> RecordDict:
    content, kind = message.content, message.metadata.message_type
    if kind == MessageType.TRAIN:
        trained = client.fit(compat.recorddict_to_fitins(content, keep_input=True))
        return compat.fitres_to_recorddict(trained, keep_input=False)
    if kind == MessageType.EVALUATE:
        evaluated = client.evaluate(compat.recorddict_to_evaluateins(content, keep_input=True))
        return compat.evaluateres_to_recorddict(evaluated)
    if kind == MessageTypeLegacy.GET_PARAMETERS:
        model = client.get_parameters(compat.recorddict_to_getparametersins(content))
        return compat.getparametersres_to_recorddict(model, keep_input=False)
    if kind == MessageTypeLegacy.GET_PROPERTIES:
        known = client.get_properties(compat.recorddict_to_getpropertiesins(content))
        return compat.getpropertiesres_to_recorddict(known)
    raise ValueError(
        f"Invalid message type: {kind}.  A client_fn answers train, evaluate, get_parameters and "
        "get_properties; register functions for others with @app.train(...), @app.query(...)"
    )
