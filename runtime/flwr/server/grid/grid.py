"""Legacy home of ``Grid``, under the name that editors complete."""

from flwr.server.grid.driver import Driver
from flwr.serverapp.grid import Grid

__all__ = ["Driver", "Grid"]
