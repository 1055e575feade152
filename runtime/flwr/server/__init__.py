"""Legacy names of a server's half of an app.

A thin layer on ``flwr.serverapp``, loaded on first use, with one DeprecationWarning per name that
says what to use instead.  Nothing of ours imports it.
"""

from typing import TYPE_CHECKING, Final

from flwr.common.legacy_names import legacy_names

if TYPE_CHECKING:
    from flwr.server import strategy, workflow
    from flwr.server.client_manager import ClientManager, SimpleClientManager
    from flwr.server.compat.legacy_context import LegacyContext
    from flwr.server.grid.driver import Driver
    from flwr.server.history import History
    from flwr.server.server import Server
    from flwr.server.server_config import ServerConfig
    from flwr.server.serverapp_components import ServerAppComponents
    from flwr.server.start import start_server
    from flwr.serverapp import Grid, ServerApp

__all__ = [
    "ClientManager",
    "Driver",
    "Grid",
    "History",
    "LegacyContext",
    "Server",
    "ServerApp",
    "ServerAppComponents",
    "ServerConfig",
    "SimpleClientManager",
    "start_server",
    "strategy",
    "workflow",
]

_MAIN: Final = "@app.main() of a flwr.serverapp.ServerApp"
_START: Final = "flwr.serverapp.strategy.Strategy.start"
_GRID: Final = "flwr.serverapp.Grid"

__getattr__ = legacy_names(
    __name__,
    {
        "ClientManager": (f"{__name__}.client_manager", _GRID),
        "Driver": (f"{__name__}.grid.driver", _GRID),
        "Grid": ("flwr.serverapp", _GRID),
        "History": (f"{__name__}.history", "flwr.serverapp.strategy.Result"),
        "LegacyContext": (f"{__name__}.compat.legacy_context", "flwr.app.Context"),
        "Server": (f"{__name__}.server", _START),
        "ServerApp": ("flwr.serverapp", "flwr.serverapp.ServerApp"),
        "ServerAppComponents": (f"{__name__}.serverapp_components", _MAIN),
        "ServerConfig": (f"{__name__}.server_config", _START),
        "SimpleClientManager": (f"{__name__}.client_manager", _GRID),
        "start_server": (f"{__name__}.start", "the command flower-superlink"),
    },
    submodules={
        "app",
        "client_manager",
        "client_proxy",
        "compat",
        "criterion",
        "grid",
        "history",
        "server",
        "server_app",
        "server_config",
        "serverapp_components",
        "strategy",
        "typing",
        "workflow",
    },
)
