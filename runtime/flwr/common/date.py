"""The time of day."""

from datetime import datetime

from flwr.core.clock import SystemClock


def now() -> datetime:
    """Return the present instant, aware, in UTC."""
    return SystemClock().now()
