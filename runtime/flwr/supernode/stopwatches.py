"""How long apps take for their messages, for the SuperLink's sums; in memory only."""

from collections import OrderedDict
from threading import Lock
from typing import Final

from flwr.core.clock import Clock
from flwr.core.ids import MessageId

_REMEMBERED: Final = 4096  # running times of messages whose reply has not left yet


class Stopwatches:
    """How long the app had each message; unknown after a restart, which is no error.

    Upstream lost every error reply over a missing time (wire contract §19 no. 1).
    """

    def __init__(self, clock: Clock) -> None:
        self._clock, self._lock = clock, Lock()
        self._started: OrderedDict[MessageId, float] = OrderedDict()
        self._took: OrderedDict[MessageId, float] = OrderedDict()

    def start(self, message_id: MessageId) -> None:
        """The app has its message now; asking again does not restart the watch."""
        with self._lock:
            self._started.setdefault(message_id, self._clock.monotonic())
            _trim(self._started)

    def stop(self, message_id: MessageId) -> None:
        """The app has replied now."""
        with self._lock:
            if (started := self._started.pop(message_id, None)) is not None:
                self._took[message_id] = self._clock.monotonic() - started
                _trim(self._took)

    def seconds(self, message_id: MessageId) -> float:
        """Return how long it took, 0 when unknown."""
        with self._lock:
            return self._took.get(message_id, 0.0)

    def forget(self, message_id: MessageId) -> None:
        """The reply has left."""
        with self._lock:
            self._started.pop(message_id, None)
            self._took.pop(message_id, None)


def _trim(times: OrderedDict[MessageId, float]) -> None:
    while len(times) > _REMEMBERED:
        times.popitem(last=False)
