"""Answers that are asked for again and again, kept in memory for as long as they hold.

Every answer has a topic, which whoever makes it wrong notifies in the transaction that does.  It is
forgotten before anybody who waits is woken by that commit, so a waiter never acts on an old answer.
Of several programs on one database each hears of the others' commits (``store.notify``); while one
does not hear them it remembers nothing, and looks.
"""

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

from flwr.core.topics import EVERY_TOPIC
from flwr.store.store import Store

K = TypeVar("K")
V = TypeVar("V")

MOST: Final = 65_536  # answers; the oldest makes room


@dataclass(frozen=True, slots=True, eq=False)
class Ticket:
    """One look that has begun; its answer counts unless the topic was told meanwhile."""

    topic: str


class Memory(Generic[K, V]):
    """Answers of one kind; thread-safe.  Whoever looks announces it and brings the answer."""

    def __init__(self, store: Store, topic: Callable[[K], str], *, most: int = MOST) -> None:
        """Remember nothing yet.

        Args:
            store: tells of commits.
            topic: what is notified when the answer for a key no longer holds.
            most: answers kept.
        """
        self._store, self._topic, self._most = store, topic, most
        self._known: dict[str, V] = {}
        self._looking: dict[str, Ticket] = {}
        self._lock = threading.Lock()
        store.subscribe_memory(self._forget)

    def recall(self, key: K) -> V | None:
        """Return what is remembered, None when nothing is; never asks the store."""
        return self._known.get(self._topic(key)) if self._store.hears_all else None

    def begin(self, key: K) -> Ticket:
        """Announce a look; call it before the transaction that looks."""
        ticket = Ticket(self._topic(key))
        with self._lock:
            if len(self._looking) >= self._most:  # of callers that never came back with an answer
                self._looking.clear()
            if self._store.hears_all:
                self._looking[ticket.topic] = ticket
        return ticket

    def keep(self, ticket: Ticket, answer: V) -> None:
        """Remember what the announced look found, unless it may be wrong by now."""
        with self._lock:
            if self._looking.get(ticket.topic) is not ticket or not self._store.hears_all:
                return
            del self._looking[ticket.topic]
            if len(self._known) >= self._most:
                del self._known[next(iter(self._known))]
            self._known[ticket.topic] = answer

    def amend(self, key: K, change: Callable[[V], V]) -> None:
        """Bring what is remembered up to date with a commit that was just made.

        A look that began before it does not count.
        """
        topic = self._topic(key)
        with self._lock:
            self._looking.pop(topic, None)
            if (known := self._known.get(topic)) is not None:
                self._known[topic] = change(known)

    def _forget(self, topics: Iterable[str]) -> None:
        with self._lock:
            if EVERY_TOPIC in topics:
                self._known.clear()
                self._looking.clear()
                return
            for topic in topics:
                self._known.pop(topic, None)
                self._looking.pop(topic, None)


class Remembered(Memory[K, V]):
    """One kind of look into the store, remembered."""

    def __init__(
        self,
        store: Store,
        topic: Callable[[K], str],
        look: Callable[[K], V | None],
        *,
        most: int = MOST,
    ) -> None:
        """Remember nothing yet.

        Args:
            store: tells of commits.
            topic: what is notified when the answer for a key no longer holds.
            look: asks the store; None is an answer that is not remembered.
            most: answers kept.
        """
        super().__init__(store, topic, most=most)
        self._look = look

    def find(self, key: K) -> V | None:
        """Return what is remembered, or what a look finds."""
        known = self.recall(key)
        if known is not None:
            return known
        ticket = self.begin(key)
        found = self._look(key)
        if found is not None:
            self.keep(ticket, found)
        return found
