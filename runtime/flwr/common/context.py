"""Legacy home of ``Context``."""

from flwr.app.context import Context

__all__ = ["Context"]
