"""The seat of the legacy ``client_fn``: ``flwr.client`` registers here what can run one.

The arrow stays down: this package never imports the legacy one.
"""

import inspect
from collections.abc import Callable
from typing import Any

from flwr.clientapp.exception import LoadClientAppError
from flwr.clientapp.typing import ClientAppCallable

ClientFn = Callable[[Any], Any]
"""Makes a legacy client from a Context."""

Adapter = Callable[[ClientFn], ClientAppCallable]
"""Turns a ``client_fn`` into a function that answers messages."""

_registered: list[Adapter] = []


def register(adapter: Adapter) -> None:
    """Use ``adapter`` for every ``client_fn`` from now on."""
    _registered[:] = [adapter]


def adapt(client_fn: ClientFn) -> ClientAppCallable:
    """Return the function that answers messages by means of ``client_fn``.

    Raises:
        LoadClientAppError: nothing that runs legacy clients has been imported.
    """
    if not _registered:
        raise LoadClientAppError(
            "this ClientApp was made with client_fn, which this installation cannot run; "
            "use @app.train() and @app.evaluate()",
        )
    return _registered[0](client_fn)


def require_client_fn(client_fn: ClientFn) -> ClientFn:
    """Return ``client_fn`` if it takes exactly one parameter.

    Raises:
        ValueError: it does not.
    """
    if len(inspect.signature(client_fn).parameters) != 1:
        raise ValueError("client_fn takes exactly one parameter: client_fn(context: Context)")
    return client_fn
