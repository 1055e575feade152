"""Legacy home of ``ArrayRecord``."""

from flwr.app.arrayrecord import ArrayRecord

__all__ = ["ArrayRecord"]
