"""ClientApp: which function of an app answers which message."""

from collections.abc import Callable

from flwr.app.context import Context
from flwr.app.lifespan import Lifespan, entered
from flwr.app.message import Message
from flwr.app.message_type import DEFAULT_ACTION, MessageType
from flwr.clientapp import legacy_client
from flwr.clientapp.chain import make_ffn
from flwr.clientapp.legacy_client import ClientFn
from flwr.clientapp.typing import ClientAppCallable, Mod

Decorator = Callable[[ClientAppCallable], ClientAppCallable]


class ClientApp:
    """The client's half of an app.

    Functions are registered by category and action::

        app = ClientApp()

        @app.train()
        def train(message: Message, context: Context) -> Message: ...

    Args:
        client_fn: makes a legacy client; excludes registered functions.
        mods: wrap every function; the first is the outermost.

    Raises:
        ValueError: ``client_fn`` does not take exactly one parameter.
    """

    def __init__(self, client_fn: ClientFn | None = None, mods: list[Mod] | None = None) -> None:
        self._client_fn = client_fn and legacy_client.require_client_fn(client_fn)
        self._mods = list(mods or [])
        self._functions: dict[str, ClientAppCallable] = {}
        self._lifespan: Lifespan | None = None

    def train(self, action: str = DEFAULT_ACTION, *, mods: list[Mod] | None = None) -> Decorator:
        """Register what answers ``train.<action>``; plain ``train`` is the default action."""
        return self._registering(MessageType.TRAIN, action, mods)

    def evaluate(self, action: str = DEFAULT_ACTION, *, mods: list[Mod] | None = None) -> Decorator:
        """Register what answers ``evaluate.<action>``."""
        return self._registering(MessageType.EVALUATE, action, mods)

    def query(self, action: str = DEFAULT_ACTION, *, mods: list[Mod] | None = None) -> Decorator:
        """Register what answers ``query.<action>``."""
        return self._registering(MessageType.QUERY, action, mods)

    def lifespan(self) -> Callable[[Lifespan], Lifespan]:
        """Register a generator function that yields once; it runs around every message."""

        def register(lifespan: Lifespan) -> Lifespan:
            self._lifespan = lifespan
            return lifespan

        return register

    def __call__(self, message: Message, context: Context) -> Message:
        """Answer ``message``.

        Raises:
            ValueError: no function is registered for its type.
            TypeError: the function returned something that is no message.
        """
        with entered(self._lifespan, context):
            reply: object = self._answering(message)(message, context)
        if not isinstance(reply, Message):
            raise TypeError(
                f"the function for '{message.metadata.message_type}' returned "
                f"{type(reply).__name__}, it must return a Message",
            )
        return reply

    def _answering(self, message: Message) -> ClientAppCallable:
        if self._client_fn is not None:
            return make_ffn(legacy_client.adapt(self._client_fn), self._mods)
        category, _, action = message.metadata.message_type.partition(".")
        action = action or DEFAULT_ACTION
        function = self._functions.get(f"{category}.{action}")
        if function is None:
            known = ", ".join(sorted(self._functions)) or "none"
            raise ValueError(
                f"No {category} function registered with name '{action}' (registered: {known})",
            )
        return function

    def _registering(self, category: str, action: str, mods: list[Mod] | None) -> Decorator:
        if not isinstance(action, str):
            raise TypeError(f"write @app.{category}(), with parentheses")

        def register(function: ClientAppCallable) -> ClientAppCallable:
            key = f"{category}.{action}"
            if self._client_fn is not None:
                raise ValueError(f"@app.{category}() and client_fn exclude each other")
            if not action.isidentifier():
                raise ValueError(f"action '{action}' of @app.{category}() is no Python identifier")
            if key in self._functions:
                raise ValueError(f"a {category} function named '{action}' is already registered")
            self._functions[key] = make_ffn(function, [*self._mods, *(mods or [])])
            return function

        return register
