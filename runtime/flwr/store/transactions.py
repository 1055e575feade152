"""What a transaction offers, and what a thread may have of them."""

import threading
from collections.abc import Callable
from functools import cached_property

from sqlalchemy import Connection

from flwr.store.contexts import Contexts
from flwr.store.errors import NestedTransactionError
from flwr.store.events import Events
from flwr.store.fabs import Fabs
from flwr.store.leases import Leases
from flwr.store.logs import Logs
from flwr.store.messages import Messages
from flwr.store.meta import Meta
from flwr.store.nodes import Nodes
from flwr.store.objects import Objects
from flwr.store.payload_changes import PayloadChanges
from flwr.store.runs import Runs


class Tx:
    """One transaction: every statement below happens, or none does."""

    def __init__(self, connection: Connection, payloads: PayloadChanges) -> None:
        """Give every noun the connection."""
        self.topics: set[str] = set()
        self.put_off: dict[str, Callable[[Tx], None]] = {}
        """Writes for whatever is written or read next (``store.put_off``), by their keys: of a
        transaction that makes none itself, where no other program shares the database."""
        self.taken_over: Callable[[Tx], None] | None = None
        """What was put off and is made by this transaction in a way of its own."""
        self.objects = Objects(connection, payloads)
        self.messages = Messages(connection, self.objects)
        self.leases = Leases(connection, self.notify)
        self.contexts = Contexts(connection)
        self.events = Events(connection)
        self._connection = connection

    # What messages have nothing to do with is made for those who ask.

    @cached_property
    def runs(self) -> Runs:
        """The runs."""
        return Runs(self._connection)

    @cached_property
    def nodes(self) -> Nodes:
        """The nodes."""
        return Nodes(self._connection, self.notify)

    @cached_property
    def fabs(self) -> Fabs:
        """The bundles."""
        return Fabs(self._connection)

    @cached_property
    def logs(self) -> Logs:
        """The logs of runs."""
        return Logs(self._connection)

    @cached_property
    def meta(self) -> Meta:
        """Facts about the store."""
        return Meta(self._connection)

    def notify(self, topic: str) -> None:
        """Wake those who wait for ``topic``, once this transaction has committed."""
        self.topics.add(topic)


class OfThread(threading.local):
    """Entered by whoever has a transaction: a thread has one at a time."""

    is_open = False
    postpones = False
    """Its commits are made durable later, by whoever has it run an operation."""
    owes = 0
    """The newest of these commits."""

    def __enter__(self) -> None:
        """Take note of a transaction; raise NestedTransactionError if there is one."""
        if self.is_open:
            raise NestedTransactionError
        self.is_open = True

    def __exit__(self, *_: object) -> None:
        """Take note of its end."""
        self.is_open = False
