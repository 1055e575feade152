"""Time, injected.  This is the only module that reads the system's clocks."""

import threading
import time
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

_SLEW: Final = 0.1  # share of the passing time by which a steady clock follows the wall clock


class Clock(Protocol):
    """Source of instants and of durations."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        ...

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, never stepping back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC."""
        return datetime.now(UTC)

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, never stepping back."""
        return time.monotonic()


class SteadyClock:
    """A wall clock without steps: it runs a little faster or slower until it agrees again.

    Deadlines kept as instants survive an operator or NTP setting the machine's clock by an hour:
    nobody is missed early, nobody is missed an hour late.
    """

    def __init__(self, source: Clock) -> None:
        """Start at the present instant of ``source``."""
        self._source = source
        self._lock = threading.Lock()
        self._shown = source.now()
        self._looked = source.monotonic()

    def now(self) -> datetime:
        """Return the present instant, aware, in UTC; it never steps."""
        with self._lock:
            looked = self._source.monotonic()
            passed = timedelta(seconds=max(looked - self._looked, 0.0))
            error = self._source.now() - (self._shown + passed)
            most = passed * _SLEW
            self._shown += passed + max(min(error, most), -most)
            self._looked = looked
            return self._shown

    def monotonic(self) -> float:
        """Return seconds since an arbitrary start, never stepping back."""
        return self._source.monotonic()
