"""Wake-ups: whoever waits is told, nobody asks.

A waiter names the topics it cares about and tries its operation once at the start, once after every
ring and once at its deadline.  Ringing is thread-safe, cheap, and never blocks; a ring that comes
between an attempt and the wait is not lost, because the bell is armed before the attempt.
"""

import asyncio
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable, Iterable
from datetime import timedelta
from typing import TypeVar

from flwr.core.topics import EVERY_TOPIC
from flwr.shell.in_thread import call_soon

T = TypeVar("T")


class _Bell(asyncio.Event):
    """What one waiter hears: that it was rung, and by which topics."""

    def __init__(self) -> None:
        super().__init__()
        self._rung: set[str] = set()

    def ring(self, topic: str) -> None:
        """Wake the waiter for a topic."""
        self._rung.add(topic)
        self.set()

    def take(self) -> set[str]:
        """Be silent again; return what has rung since the last time."""
        self.clear()
        rung, self._rung = self._rung, set()
        return rung


class _Call:
    """A bell that is heard by a callback: nobody waits, somebody acts."""

    def __init__(self, act: Callable[[], None]) -> None:
        self.set = act

    def ring(self, _topic: str) -> None:
        """Have it act."""
        self.set()


class Wakeups:
    """The bells of one daemon; create it inside the running event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None = None) -> None:
        self._loop = loop or asyncio.get_running_loop()
        self._bells: defaultdict[str, set[_Bell | _Call]] = defaultdict(set)
        self._pending: set[str] = set()
        self._lock = threading.Lock()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """True once the daemon is stopping: nobody waits any more."""
        return self._closed

    def ring(self, topics: Iterable[str]) -> None:
        """Wake everybody who waits for one of ``topics``; callable from any thread."""
        with self._lock:
            scheduled = bool(self._pending)
            self._pending.update(topics)
            if scheduled or not self._pending:
                return
        call_soon(self._loop, self._deliver)

    def call(self, topics: Iterable[str], act: Callable[[], None]) -> None:
        """Have something called at every ring, and when every wait ends.

        Args:
            topics: which rings.
            act: called in the event loop; it must not raise.
        """
        self._arm(tuple(topics), _Call(act))

    def close(self) -> None:
        """End every wait now: the daemon is stopping."""
        self._closed = True
        for bells in self._bells.values():
            for bell in bells:
                bell.set()

    async def until(
        self,
        topics: Iterable[str],
        attempt: Callable[[], Awaitable[T | None]],
        *,
        timeout: timedelta,  # noqa: ASYNC109 - a hold is part of the protocol, not a cancellation
    ) -> T | None:
        """Return the first result of ``attempt`` that is not None, or None at the deadline.

        Args:
            topics: what may make the next attempt succeed.
            attempt: the operation; it must be safe to repeat.
            timeout: the longest wait.
        """
        return await self.until_told(topics, lambda _: attempt(), timeout=timeout)

    async def until_told(
        self,
        topics: Iterable[str],
        attempt: Callable[[set[str]], Awaitable[T | None]],
        *,
        timeout: timedelta,  # noqa: ASYNC109 - see until
    ) -> T | None:
        """Wait as ``until`` does; ``attempt`` is told which topics have rung since it began last.

        The first attempt is told none.
        """
        deadline = self._loop.time() + timeout.total_seconds()
        bell, names = _Bell(), tuple(topics)
        self._arm(names, bell)
        try:
            while True:
                if (result := await attempt(bell.take())) is not None:
                    return result
                if not await self._rung(bell, deadline):
                    return None
        finally:
            self._disarm(names, bell)

    async def wait(
        self,
        topics: Iterable[str],
        timeout: timedelta | None,  # noqa: ASYNC109 - see until
    ) -> bool:
        """Wait for one ring; False when the deadline (None: never) passed first."""
        deadline = None if timeout is None else self._loop.time() + timeout.total_seconds()
        bell, names = _Bell(), tuple(topics)
        self._arm(names, bell)
        try:
            return await self._rung(bell, deadline)
        finally:
            self._disarm(names, bell)

    async def _rung(self, bell: asyncio.Event, deadline: float | None) -> bool:
        if self._closed:
            return False
        try:
            async with asyncio.timeout_at(deadline):
                await bell.wait()
        except TimeoutError:
            return False
        return not self._closed

    def _arm(self, topics: tuple[str, ...], bell: "_Bell | _Call") -> None:
        for topic in topics:
            self._bells[topic].add(bell)

    def _disarm(self, topics: tuple[str, ...], bell: "_Bell | _Call") -> None:
        for topic in topics:
            self._bells[topic].discard(bell)
            if not self._bells[topic]:
                del self._bells[topic]

    def _deliver(self) -> None:
        with self._lock:
            topics, self._pending = self._pending, set()
        for topic in self._bells if EVERY_TOPIC in topics else topics:
            for bell in self._bells.get(topic, ()):
                bell.ring(topic)
