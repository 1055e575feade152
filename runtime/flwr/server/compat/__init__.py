"""Running legacy apps on a Grid."""

from typing import TYPE_CHECKING

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.server.compat.app import start_grid
    from flwr.server.compat.legacy_context import LegacyContext

__all__ = ["LegacyContext", "start_grid"]

__getattr__ = legacy_names(
    __name__,
    {
        "LegacyContext": (f"{__name__}.legacy_context", "flwr.app.Context"),
        "start_grid": (f"{__name__}.app", "flwr.serverapp.strategy.Strategy.start"),
    },
    submodules={"app", "grid_client_proxy", "legacy_context"},
)
