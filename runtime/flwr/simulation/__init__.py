"""Simulation: the same app on many virtual nodes of one machine, messages in memory.

``run_simulation`` is loaded on first use, so that workers do not pay for what only the run needs.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from flwr.simulation.run import run_simulation

__all__ = ["run_simulation"]


def __getattr__(name: str) -> Any:
    if name == "run_simulation":
        from flwr.simulation.run import run_simulation  # noqa: PLC0415  # see above

        return run_simulation
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
