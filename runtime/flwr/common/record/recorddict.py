"""Legacy home of ``RecordDict``."""

from flwr.app.recorddict import RecordDict

__all__ = ["RecordDict"]
