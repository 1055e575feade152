"""Driver: what a Grid was called before."""

from flwr.serverapp.grid import Grid


class Driver(Grid):
    """The former name of ``Grid``, for annotations of old apps."""
