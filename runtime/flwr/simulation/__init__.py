"""Simulation: the same app on many virtual nodes of one machine, messages in memory.

What it offers is loaded on first use, so that workers do not pay for what only the run needs.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from flwr.simulation.run import run_simulation

__all__ = ["run_simulation", "start_simulation"]

_HOMES: Final = {
    "run_simulation": "flwr.simulation.run",
    "start_simulation": "flwr.server.compat.simulation",  # legacy, by name: the arrow stays down
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
