"""Legacy home of ``ConfigRecord``."""

from flwr.app.configrecord import ConfigRecord

__all__ = ["ConfigRecord"]
