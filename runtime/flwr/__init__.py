"""The flwr-compose runtime: federated learning on real machines.

Importing this package is cheap: it exposes the version and the public app packages, nothing else.
Programs live below (``superlink``, ``supernode``, ``superexec``, ``runner``, ``cli``).
"""

from importlib import import_module
from types import ModuleType
from typing import Final

__version__: Final = "1.29.0"
"""Release of the public contract (wire and app API) this package implements."""

_PUBLIC: Final = frozenset(
    {"app", "client", "clientapp", "common", "server", "serverapp", "simulation"}
)

__all__ = ["__version__"]


def __getattr__(name: str) -> ModuleType:
    """Load a public subpackage on first use, so that daemons never pay for numpy."""
    if name in _PUBLIC:
        return import_module(f"{__name__}.{name}")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
