"""The seat of the legacy server loop: ``flwr.server`` registers here what can run it.

The arrow stays down: this package never imports the legacy one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from flwr.app.context import Context
from flwr.serverapp.exception import LoadServerAppError
from flwr.serverapp.grid import Grid


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


Loop = Callable[[Grid, Context, LegacyParts], None]
"""Runs the rounds of a legacy app."""

_registered: list[Loop] = []


def register(loop: Loop) -> None:
    """Use ``loop`` for every ServerApp without a main function from now on."""
    _registered[:] = [loop]


def run(grid: Grid, context: Context, parts: LegacyParts) -> None:
    """Run the legacy loop.

    Raises:
        LoadServerAppError: nothing that runs it has been imported.
    """
    if not _registered:
        raise LoadServerAppError(
            "this ServerApp has no main function; register one with @app.main()",
        )
    _registered[0](grid, context, parts)
