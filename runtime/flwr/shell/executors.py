"""Who is there to launch apps; kept in memory, since it is about this moment."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final

from flwr.core.app_choice import EVERY_APP, AppChoice, union
from flwr.core.clock import Clock

_FORGIVEN: Final = timedelta(seconds=10)  # between two polls of an executor


class Executors:
    """The executors that ask for launches, and which apps they launch."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._asking: Counter[AppChoice] = Counter()
        self._seen_at_s: dict[AppChoice, float] = {}

    @contextmanager
    def asking(self, choice: AppChoice = EVERY_APP) -> Iterator[None]:
        """Note that one asks for launches of these apps for as long as the block runs."""
        self.begin(choice)
        try:
            yield
        finally:
            self.end(choice)

    def begin(self, choice: AppChoice) -> None:
        """Note that one begins to ask."""
        self._asking[choice] += 1

    def end(self, choice: AppChoice) -> None:
        """Note that one has ceased to ask."""
        self._asking[choice] -= 1
        self._seen_at_s[choice] = self._clock.monotonic()

    def served(self) -> AppChoice | None:
        """Return the apps that some executor launches; None when there is no executor.

        One that is full does not ask, and after a while is not known any more.
        """
        now = self._clock.monotonic()
        self._seen_at_s = {
            choice: seen
            for choice, seen in self._seen_at_s.items()
            if now - seen < _FORGIVEN.total_seconds()
        }
        there = {choice for choice, count in self._asking.items() if count} | set(self._seen_at_s)
        return union(there) if there else None
