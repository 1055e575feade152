"""Statements about leases of app processes."""

from collections.abc import Callable
from datetime import datetime
from typing import Any, Final

from sqlalchemy import Connection, bindparam, delete, func, select, update

from flwr.core.errors import AlreadyExistsError, ConflictError
from flwr.core.ids import MessageId, RunId
from flwr.core.lease import AppKind, Lease
from flwr.core.topics import lease_ended
from flwr.store.dialect import insert_new
from flwr.store.prepared import Prepared, Row
from flwr.store.schema import lease as table

LeaseList = list[Lease]

# Statements of the busy paths are built once: building one costs more than running it.
_MINE: Final = table.c.token_hash == bindparam("mine")
_OLDEST_FIRST: Final = select(table).order_by(table.c.granted_at, table.c.token_hash)
_FIND: Final = Prepared(select(table).where(_MINE))
_END: Final = Prepared(delete(table).where(_MINE))
_LIST: Final = Prepared(_OLDEST_FIRST)
_OF_RUN: Final = Prepared(
    _OLDEST_FIRST.where(table.c.run_id == bindparam("of_run", type_=table.c.run_id.type))
)
_OF_KIND: Final = Prepared(_OLDEST_FIRST.where(table.c.kind == bindparam("of_kind")))
_LAPSED: Final = Prepared(
    _OLDEST_FIRST.where(table.c.until <= bindparam("now", type_=table.c.until.type))
)
_SAVE: Final = update(table).where(_MINE)
_NEXT_LAPSE: Final = select(func.min(table.c.until, type_=table.c.until.type))


class Leases:
    """The leases, as one transaction sees them."""

    def __init__(self, connection: Connection, notify: Callable[[str], None]) -> None:
        """Work within the transaction of ``connection``, which notifies topics."""
        self._connection, self._notify = connection, notify

    def grant(self, lease: Lease) -> None:
        """Store a new lease.

        Raises:
            AlreadyExistsError: its token is known already.
        """
        if not insert_new(self._connection, table, _encode(lease)):
            raise AlreadyExistsError("a lease with this token exists")

    def find_by_hash(self, token_hash: str) -> Lease | None:
        """Return the lease of the token with this SHA-256, lapsed or not."""
        row = _FIND.first(self._connection, {"mine": token_hash})
        return None if row is None else _decode(row)

    def save(self, lease: Lease) -> None:
        """Write a renewed or used lease.

        Raises:
            ConflictError: it ended meanwhile.
        """
        written = {"mine": lease.token_hash, **_encode(lease)}
        if self._connection.execute(_SAVE, written).rowcount != 1:
            raise ConflictError(f"the lease for run {lease.run_id} has ended")

    def end(self, token_hash: str) -> bool:
        """Delete the lease; tell whether there was one.  Whoever remembers it hears of it."""
        self._notify(lease_ended(token_hash))
        return _END.change(self._connection, {"mine": token_hash}) == 1

    def for_run(self, run_id: RunId) -> LeaseList:
        """Return the leases of one run, oldest first."""
        return self._fetch(_OF_RUN, of_run=run_id)

    def lapsed(self, now: datetime) -> LeaseList:
        """Return the leases that were not renewed in time, oldest first."""
        return self._fetch(_LAPSED, now=now)

    def next_lapse(self) -> datetime | None:
        """Return when the first lease will lapse; None without leases."""
        return self._connection.execute(_NEXT_LAPSE).scalar_one_or_none()

    def list(self, kind: AppKind | None = None) -> LeaseList:
        """Return all leases, or those of one kind, oldest first."""
        return self._fetch(_LIST) if kind is None else self._fetch(_OF_KIND, of_kind=kind.value)

    def _fetch(self, which: Prepared, **asked: Any) -> LeaseList:
        return [_decode(row) for row in which.rows(self._connection, asked)]


def _encode(lease: Lease) -> dict[str, Any]:
    return {
        "token_hash": lease.token_hash,
        "kind": lease.kind.value,
        "run_id": lease.run_id,
        "message_id": lease.message_id,
        "granted_at": lease.granted_at,
        "until": lease.until,
        "inputs_pulled": lease.inputs_pulled,
    }


def _decode(row: Row) -> Lease:
    return Lease(
        token_hash=row.token_hash,
        kind=AppKind(row.kind),
        run_id=RunId(row.run_id),
        message_id=None if row.message_id is None else MessageId(row.message_id),
        granted_at=row.granted_at,
        until=row.until,
        inputs_pulled=row.inputs_pulled,
    )
