"""How an app waits for what cannot ring: short pauses that grow."""

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final

from flwr.core.clock import Clock, SystemClock
from flwr.core.limits import APP_POLL_CAP, APP_POLL_FIRST

GROWTH: Final = 1.5


@dataclass(frozen=True)
class Pace:
    """A clock and a way to sleep.

    Attributes:
        clock: measures the wait.
        sleep: blocks for so many seconds.
    """

    clock: Clock = field(default_factory=SystemClock)
    sleep: Callable[[float], None] = time.sleep

    def attempts(self, timeout_s: float | None = None) -> Iterator[float]:
        """Yield the seconds waited so far: at once, after each pause, and last at the timeout.

        Args:
            timeout_s: None goes on for ever; the caller breaks off when its attempt succeeded.
        """
        start, pause_s = self.clock.monotonic(), APP_POLL_FIRST.total_seconds()
        while True:
            waited_s = self.clock.monotonic() - start
            yield waited_s
            if timeout_s is not None and waited_s >= timeout_s:
                return
            left_s = pause_s if timeout_s is None else max(0.0, timeout_s - waited_s)
            self.sleep(min(pause_s, left_s))
            pause_s = min(pause_s * GROWTH, APP_POLL_CAP.total_seconds())


SYSTEM_PACE: Final = Pace()
