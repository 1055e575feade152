"""Statements about events: the append-only, hash-chained log of who did what, and why."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from hashlib import sha256
from typing import Any, Final

from sqlalchemy import Connection, Row, insert, select

from flwr.core.ids import MessageId, NodeId, RunId
from flwr.core.limits import LIST_PAGE
from flwr.store.errors import EventChainError
from flwr.store.prepared import Prepared
from flwr.store.schema import event as table
from flwr.store.types import canonical_json, to_micros

_GENESIS: Final = "0" * 64
_NEWEST: Final = Prepared(select(table.c.seq, table.c.hash).order_by(table.c.seq.desc()).limit(1))
_ADD: Final = Prepared(insert(table), is_insert_of=table.c.keys())
_NO_DETAILS: Final[Mapping[str, Any]] = {}
_HASHED: Final = tuple(name for name in table.c.keys() if name not in {"at", "hash"})  # noqa: SIM118  no dict


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    seq: int  # from 1, without gaps
    at: datetime
    kind: str  # noun.verb, such as run.started
    actor: str  # who caused it: an account, a node, a daemon's task
    run_id: RunId | None = None
    node_id: NodeId | None = None
    message_id: MessageId | None = None
    details: Mapping[str, Any] = field(default_factory=dict)
    hash: str = ""  # SHA-256 over the previous event's hash and this event


EventList = list[Event]


class Events:
    """The event log, as one transaction sees it."""

    def __init__(self, connection: Connection) -> None:
        """Work within the transaction of ``connection``."""
        self._connection = connection
        self._last: tuple[int, str] | None = None  # number and hash of the newest, once known
        self._unwritten: list[dict[str, Any]] = []

    def append(
        self,
        *,
        at: datetime,
        kind: str,
        actor: str,
        run_id: RunId | None = None,
        node_id: NodeId | None = None,
        message_id: MessageId | None = None,
        details: Mapping[str, Any] = _NO_DETAILS,
    ) -> Event:
        """Append an event; ``details`` must be JSON.  Return it with its number and hash.

        The events of a transaction are written together, at its end.
        """
        seq, previous = self._last or self._newest()
        row: dict[str, Any] = {
            "seq": seq + 1,
            "at": at,
            "kind": kind,
            "actor": actor,
            "run_id": run_id,
            "node_id": node_id,
            "message_id": message_id,
            "details": dict(details),
        }
        row["hash"] = _hash(previous, row)
        self._last = row["seq"], row["hash"]
        self._unwritten.append(row)
        return Event(**row)

    def write(self) -> None:
        """Write what was appended; called at the transaction's end."""
        rows, self._unwritten = self._unwritten, []
        _ADD.change_each(self._connection, rows)

    def verify(self) -> None:
        """Recompute the whole chain.

        Raises:
            EventChainError: naming the first event that was altered, removed or put in.
        """
        self.write()
        previous, expected = _GENESIS, 1
        in_order = select(table).order_by(table.c.seq).execution_options(yield_per=LIST_PAGE)
        with self._connection.execute(in_order) as rows:
            for row in rows:
                if row.seq != expected:
                    raise EventChainError(expected, "it is missing")
                if row.hash != _hash(previous, dict(row._mapping)):  # noqa: SLF001  public, see its docs
                    raise EventChainError(row.seq, "it does not have the hash it was written with")
                previous, expected = row.hash, row.seq + 1

    def list(
        self,
        run_id: RunId | None = None,
        node_id: NodeId | None = None,
        after: int | None = None,
        limit: int = LIST_PAGE,
    ) -> EventList:
        """Return events, oldest first: of one run, of one node, with a number above ``after``."""
        self.write()
        oldest_first = select(table).order_by(table.c.seq).limit(limit)
        if run_id is not None:
            oldest_first = oldest_first.where(table.c.run_id == run_id)
        if node_id is not None:
            oldest_first = oldest_first.where(table.c.node_id == node_id)
        if after is not None:
            oldest_first = oldest_first.where(table.c.seq > after)
        return [_decode(row) for row in self._connection.execute(oldest_first)]

    def _newest(self) -> tuple[int, str]:
        row = _NEWEST.first(self._connection)
        return (0, _GENESIS) if row is None else (row.seq, row.hash)


def _hash(previous: str, row: Mapping[str, Any]) -> str:
    told = {name: row[name] for name in _HASHED}
    told["at"] = to_micros(row["at"])
    return sha256((previous + canonical_json(told)).encode()).hexdigest()


def _decode(row: Row[Any]) -> Event:
    return Event(**dict(row._mapping))  # noqa: SLF001  public, see its docs
