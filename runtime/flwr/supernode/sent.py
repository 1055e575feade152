"""Replies the SuperLink has: forgotten here with the node's next write, not by one of their own.

A node that dies before sends them again, which the SuperLink does not count.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Final

from flwr.core.clock import Clock
from flwr.core.ids import MessageId
from flwr.core.message import Envelope
from flwr.store.durability import Durability
from flwr.store.store import Store, Tx
from flwr.supernode.replies import ACTOR

MOST: Final = 256
"""Replies that wait to be forgotten, before somebody has to ``forget`` them at once."""


class SentReplies:
    """What was sent, and goes with whatever is written next."""

    def __init__(self, store: Store, clock: Clock) -> None:
        self._store, self._clock = store, clock
        self._lock = Lock()
        self.times_forgotten = 0
        """How often some were forgotten: who waits for that need not do it."""
        self._replies: dict[MessageId, Envelope] = {}  # by their own id

    def add(self, reply: Envelope) -> bool:
        """Take note that the SuperLink has a reply; False when too many wait to be forgotten."""
        with self._lock:
            self._replies[reply.message_id] = reply
            return len(self._replies) <= MOST

    def __contains__(self, reply_id: MessageId) -> bool:
        return reply_id in self._replies

    def __bool__(self) -> bool:
        return bool(self._replies)

    def forget(self) -> None:
        """Forget them now, if there are any."""
        if self:
            with self.transaction():
                pass

    @contextmanager
    def transaction(self, *, instead_of: str | None = None) -> Iterator[Tx]:
        """Open a transaction of the store that also forgets what was sent, durable ``LATER``.

        Args:
            instead_of: as of ``Store.transaction``.

        Raises:
            FlwrError: as ``Store.transaction``; what was sent waits for the next one.
        """
        with self._lock:
            done, self._replies = self._replies, {}
        try:
            with self._store.transaction(Durability.LATER, instead_of=instead_of) as tx:
                self._delete(tx, done)
                yield tx
        except BaseException:
            with self._lock:
                self._replies = {**done, **self._replies}
            raise
        self.times_forgotten += bool(done)

    def _delete(self, tx: Tx, replies: dict[MessageId, Envelope]) -> None:
        now = self._clock.now()
        tx.messages.delete([r.reply_to for r in replies.values() if r.reply_to], replies)
        for reply in replies.values():
            tx.events.append(
                at=now,
                kind="reply-sent",
                actor=ACTOR,
                run_id=reply.run_id,
                node_id=reply.src_node_id,
                message_id=reply.reply_to,
            )
