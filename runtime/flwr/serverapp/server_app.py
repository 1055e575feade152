"""ServerApp: the function that drives a run."""

import inspect
import warnings
from collections.abc import Callable
from typing import Any

from flwr.app.context import Context
from flwr.app.lifespan import Lifespan, entered
from flwr.serverapp import legacy_server
from flwr.serverapp.grid import Grid
from flwr.serverapp.legacy_server import LegacyParts

ServerAppCallable = Callable[[Grid, Context], None]


class ServerApp:
    """The server's half of an app.

    The main function is registered::

        app = ServerApp()

        @app.main()
        def main(grid: Grid, context: Context) -> None: ...

    Args:
        server: deprecated.
        config: deprecated.
        strategy: deprecated.
        client_manager: deprecated.
        server_fn: makes the parts of a legacy app from the Context.

    Raises:
        ValueError: ``server_fn`` together with a deprecated argument.
    """

    def __init__(
        self,
        server: Any = None,
        config: Any = None,
        strategy: Any = None,
        client_manager: Any = None,
        server_fn: Callable[[Context], Any] | None = None,
    ) -> None:
        self._parts = LegacyParts(
            server=server,
            config=config,
            strategy=strategy,
            client_manager=client_manager,
            server_fn=server_fn,
        )
        if self._parts.has_deprecated:
            _warn_deprecated("`server`, `config`, `strategy` and `client_manager`", "`server_fn`")
        if self._parts.has_deprecated and server_fn is not None:
            raise ValueError("server_fn and the deprecated arguments of ServerApp exclude another")
        self._main: ServerAppCallable | None = None
        self._lifespan: Lifespan | None = None

    def main(self) -> Callable[[ServerAppCallable], ServerAppCallable]:
        """Register the function that drives the run.

        Raises:
            ValueError: deprecated arguments were given, which drive the run by themselves.
        """

        def register(main: ServerAppCallable) -> ServerAppCallable:
            if self._parts.has_deprecated:
                raise ValueError("@app.main() and the deprecated arguments exclude each other")
            if _takes_driver(main):
                _warn_deprecated("a parameter named `driver`, or a Driver,", "`grid: Grid`")
            self._main = main
            return main

        return register

    def lifespan(self) -> Callable[[Lifespan], Lifespan]:
        """Register a generator function that yields once; it runs around the main function."""

        def register(lifespan: Lifespan) -> Lifespan:
            self._lifespan = lifespan
            return lifespan

        return register

    def __call__(self, grid: Grid, context: Context) -> None:
        """Drive the run to its end."""
        with entered(self._lifespan, context):
            if self._main is not None:
                self._main(grid, context)
            else:
                legacy_server.run(grid, context, self._parts)


def _takes_driver(main: ServerAppCallable) -> bool:
    """Tell whether the first parameter is what a Grid was once called."""
    first = next(iter(inspect.signature(main).parameters.values()), None)
    if first is None:
        return False
    annotation = getattr(first.annotation, "__name__", first.annotation)
    return first.name == "driver" or annotation == "Driver"


def _warn_deprecated(old: str, new: str) -> None:
    warnings.warn(f"{old} of ServerApp is deprecated, use {new}", DeprecationWarning, stacklevel=3)
