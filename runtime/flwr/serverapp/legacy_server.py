"""The seat of the legacy server loop: what runs it is loaded by name, when an app needs it.

The arrow stays down: this package never imports the legacy one, and an app with a main function
does not load it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, Final

from flwr.app.context import Context
from flwr.serverapp.grid import Grid

_RUNS_THEM: Final = "flwr.server.compat.app"


@dataclass(frozen=True, kw_only=True)
class LegacyParts:
    """What the legacy forms of ``ServerApp`` were given."""

    server: Any = None
    config: Any = None
    strategy: Any = None
    client_manager: Any = None
    server_fn: Callable[[Context], Any] | None = None

    @property
    def has_deprecated(self) -> bool:
        """True if one of the four oldest arguments was given."""
        oldest = (self.server, self.config, self.strategy, self.client_manager)
        return any(part is not None for part in oldest)


def run(grid: Grid, context: Context, parts: LegacyParts) -> None:
    """Run the legacy loop with ``parts``, or with those that ``server_fn`` makes.

    Raises:
        TypeError: ``server_fn`` returned something that has no such parts.
    """
    made: Any = parts if parts.server_fn is None else parts.server_fn(context)
    names = ("server", "config", "strategy", "client_manager")
    if missing := [name for name in names if not hasattr(made, name)]:
        raise TypeError(
            f"server_fn returned {type(made).__name__}, which has no {', '.join(missing)}; it must "
            "return flwr.server.ServerAppComponents"
        )
    import_module(_RUNS_THEM).start_grid(grid=grid, **{n: getattr(made, n) for n in names})
