"""Legacy home of ``Grid``, and its former name."""

from flwr.server.grid.driver import Driver
from flwr.serverapp.grid import Grid

__all__ = ["Driver", "Grid"]
