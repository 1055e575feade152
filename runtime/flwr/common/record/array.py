"""Legacy home of ``Array``."""

from flwr.app.array import Array

__all__ = ["Array"]
