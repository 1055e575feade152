"""How far a simulation is: instructions sent, answered, failed; and that in words."""

import logging
from collections import deque
from typing import Final

from flwr.core.clock import Clock

_ROUND: Final = "[ROUND %s/%s]"  # what strategies log, see ``serverapp.strategy.progress``
_RATE_OVER_S: Final = 10.0


class Tally:
    """Counts of one run; changed under the exchange's lock, read by anybody."""

    def __init__(self) -> None:
        self.expected = 0
        self.answered = 0
        """How many instructions were answered, by whom or what ever."""
        self.failed = 0
        """How many of those with an error."""
        self._before = 0  # answered before the present half of a round

    @property
    def step(self) -> tuple[int, int]:
        """How many of the present half of a round are answered, and of how many."""
        return self.answered - self._before, self.expected - self._before

    def expect(self, count: int) -> None:
        """Note that so many instructions will be sent; those of a half of a round come at once."""
        if count and self.answered == self.expected:
            self._before = self.answered
        self.expected += count

    def answer(self, *, is_error: bool) -> None:
        """Note that one is answered."""
        self.answered += 1
        self.failed += is_error


class Standing(logging.Handler):
    """Where a run stands; as a handler of the apps' logger it hears of rounds."""

    def __init__(self, tally: Tally, clock: Clock) -> None:
        super().__init__()
        self._tally, self._clock = tally, clock
        self._round = ""
        self._seen: deque[tuple[float, int]] = deque([(clock.monotonic(), 0)])

    def emit(self, record: logging.LogRecord) -> None:
        """Take note of the round a strategy begins."""
        if record.msg == _ROUND and isinstance(record.args, tuple):
            self._round = "round {}/{}".format(*record.args)

    def look(self) -> float:
        """Return the clients per second of the last while; call now and then."""
        now, answered = self._clock.monotonic(), self._tally.answered
        self._seen.append((now, answered))
        while now - self._seen[0][0] > _RATE_OVER_S and self._seen[1][0] < now:
            self._seen.popleft()
        since, before = self._seen[0]
        return (answered - before) / (now - since) if now > since else 0.0

    def line(self) -> str:
        """Return, such as, ``round 2/3 · 340/1000 clients · 512 clients/s · 3 failed``."""
        rate, (done, total) = self.look(), self._tally.step
        parts = [self._round, f"{done}/{total} clients", f"{rate:.0f} clients/s"]
        if self._tally.failed:
            parts.append(f"{self._tally.failed} failed")
        return " · ".join(part for part in parts if part)
