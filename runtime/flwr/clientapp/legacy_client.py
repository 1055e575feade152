"""The seat of the legacy ``client_fn``: what runs it is loaded by name, when an app has one.

The arrow stays down: this package never imports the legacy one, and an app without ``client_fn``
does not load it.
"""

import inspect
import warnings
from collections.abc import Callable
from importlib import import_module
from typing import Any, Final

from flwr.app.context import Context
from flwr.clientapp.typing import ClientAppCallable

ClientFn = Callable[[Any], Any]
"""Makes a legacy client from a Context."""

_RUNS_THEM: Final = "flwr.client.answering"


def adapt(client_fn: ClientFn) -> ClientAppCallable:
    """Return the function that answers messages by means of ``client_fn``."""
    answering: ClientAppCallable = import_module(_RUNS_THEM).answering(client_fn)
    return answering


def require_client_fn(client_fn: ClientFn) -> ClientFn:
    """Return ``client_fn`` as a function of a Context.

    One that takes a text, as its oldest form did, gets the id of the node's partition.

    Raises:
        ValueError: it does not take exactly one parameter.
    """
    parameters = list(inspect.signature(client_fn).parameters.values())
    if len(parameters) != 1:
        raise ValueError("client_fn takes exactly one parameter: client_fn(context: Context)")
    (parameter,) = parameters
    if parameter.name != "cid" and parameter.annotation not in {str, "str"}:
        return client_fn
    warnings.warn(
        "a client_fn that takes an id is deprecated, write client_fn(context: Context)",
        DeprecationWarning,
        stacklevel=3,
    )
    return lambda context: client_fn(_partition(context))


def _partition(context: Context) -> str:
    return str(context.node_config.get("partition-id", context.node_id))
