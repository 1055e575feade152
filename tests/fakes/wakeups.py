"""Wake-ups that tell a test who waits, so that it need not sleep to let somebody begin to."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from flwr.core.topics import EVERY_TOPIC
from flwr.shell.wakeups import Wakeups

T = TypeVar("T")


class _Wait:
    """One wait: how often it was rung, and how many of these rings its last look in vain knew."""

    def __init__(self, topics: Iterable[str]) -> None:
        self.topics = frozenset(topics)
        self.rings, self.looked_after = 0, -1

    @property
    def is_asleep(self) -> bool:
        return self.looked_after == self.rings


class WatchedWakeups(Wakeups):
    """Wake-ups whose waits are seen: a wait sleeps once it looked in vain after its last ring."""

    def __init__(self) -> None:
        super().__init__()
        self._waits: frozenset[_Wait] = frozenset()  # replaced, as rings come from any thread
        self._changed = asyncio.Event()
        self.timeouts: list[timedelta] = []  # of all waits there were, the youngest last

    def ring(self, topics: Iterable[str]) -> None:
        names = frozenset(topics)
        for wait in self._waits:
            if EVERY_TOPIC in names or names & wait.topics:
                wait.rings += 1
        super().ring(names)

    async def until_told(
        self,
        topics: Iterable[str],
        attempt: Callable[[set[str]], Awaitable[T | None]],
        *,
        timeout: timedelta,  # noqa: ASYNC109 - as in Wakeups
    ) -> T | None:
        wait = _Wait(topics)

        async def look(rung: set[str]) -> T | None:
            rings = wait.rings
            if (result := await attempt(rung)) is None:
                wait.looked_after = rings
                self._changed.set()
            return result

        self.timeouts.append(timeout)
        self._waits |= {wait}
        try:
            return await super().until_told(wait.topics, look, timeout=timeout)
        finally:
            self._waits -= {wait}
            self._changed.set()

    async def until_asleep(self, count: int, *, within_s: float) -> None:
        """Return when there are ``count`` waits, and all of them sleep.

        Raises:
            TimeoutError: that did not come to be in time.
        """
        async with asyncio.timeout(within_s):
            while True:
                self._changed.clear()
                waits = self._waits
                if len(waits) == count and all(wait.is_asleep for wait in waits):
                    return
                await self._changed.wait()
