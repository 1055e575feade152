"""Statements about what apps print.  Stamps order the chunks of a run and serve as cursors."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import Connection, bindparam, insert, select, update

from flwr.core.ids import RunId
from flwr.core.limits import MAX_RUN_LOG_BYTES
from flwr.store.dialect import insert_missing
from flwr.store.prepared import Prepared
from flwr.store.schema import log_chunk, run_log
from flwr.store.types import clean_text, from_micros, to_micros

# A double of today's Unix time resolves 0.24 microseconds; two keep stamps apart in any rounding.
_STEP: Final = timedelta(microseconds=2)

# Statements of the busy paths are built once: building one costs more than running it.
_MINE: Final = run_log.c.run_id == bindparam("mine", type_=run_log.c.run_id.type)
_BOOK: Final = Prepared(select(run_log).where(_MINE).with_for_update())
_ADD: Final = Prepared(insert(log_chunk), is_insert_of=("run_id", "at", "text"))
_NOTE: Final = Prepared(
    update(run_log)
    .where(_MINE)
    .values(
        size_bytes=bindparam("size"),
        last_at=bindparam("last", type_=run_log.c.last_at.type),
        is_full=bindparam("full", type_=run_log.c.is_full.type),
    )
)
_LATER: Final = Prepared(
    select(log_chunk.c.at, log_chunk.c.text)
    .where(
        log_chunk.c.run_id == bindparam("of_run", type_=log_chunk.c.run_id.type),
        log_chunk.c.at > bindparam("stamp", type_=log_chunk.c.at.type),
    )
    .order_by(log_chunk.c.at)
    .limit(bindparam("most"))
)


@dataclass(frozen=True, slots=True)
class LogChunk:
    """Some lines of a run's log."""

    stamp: float  # Unix seconds, unique and increasing within the run
    text: str


class Logs:
    """The logs of runs, as one transaction sees them."""

    def __init__(self, connection: Connection, *, limit_bytes: int = MAX_RUN_LOG_BYTES) -> None:
        """Work within the transaction of ``connection``; keep ``limit_bytes`` per run."""
        self._connection = connection
        self._limit = limit_bytes

    def append(self, run_id: RunId, text: str, *, at: datetime) -> float:
        """Store a chunk; return its stamp, in Unix seconds.

        Beyond the limit per run the chunk is cut and one note says so; later chunks are dropped.
        Stamps increase by 2 microseconds at least, whatever the clock does.
        """
        self._start(run_id, at)
        (book,) = _BOOK.rows(self._connection, {"mine": run_id})
        stamped = max(at, book.last_at + _STEP)
        if book.is_full:
            return _to_stamp(book.last_at)
        kept = _fitting(clean_text(text), self._limit - book.size_bytes)
        size = book.size_bytes + len(kept.text.encode())
        chunk = {"run_id": run_id, "at": stamped, "text": kept.text + kept.note}
        _ADD.change(self._connection, chunk)
        now = {"mine": run_id, "size": size, "last": stamped, "full": bool(kept.note)}
        _NOTE.change(self._connection, now)
        return _to_stamp(stamped)

    def after(self, run_id: RunId, stamp: float, limit: int) -> list[LogChunk]:
        """Return up to ``limit`` chunks later than ``stamp`` (0: from the start), in order."""
        asked = {"of_run": run_id, "stamp": _from_stamp(stamp), "most": limit}
        rows = _LATER.rows(self._connection, asked)
        return [LogChunk(_to_stamp(row.at), row.text) for row in rows]

    def size(self, run_id: RunId) -> int:
        """Return how many bytes the run has logged, in UTF-8, the note not counted."""
        mine = select(run_log.c.size_bytes).where(run_log.c.run_id == run_id)
        return self._connection.execute(mine).scalar_one_or_none() or 0

    def _start(self, run_id: RunId, at: datetime) -> None:
        first = {"run_id": run_id, "size_bytes": 0, "last_at": at - _STEP, "is_full": False}
        insert_missing(self._connection, run_log, [first])


@dataclass(frozen=True, slots=True)
class _Kept:
    text: str
    note: str = ""


def _fitting(text: str, room: int) -> _Kept:
    content = text.encode()
    if len(content) <= room:
        return _Kept(text)
    head = content[:room].decode(errors="ignore")
    note = "\n[flwr] The log limit of this run is reached; what follows is dropped.\n"
    return _Kept(head, note)


def _to_stamp(at: datetime) -> float:
    return to_micros(at) / 1_000_000


def _from_stamp(stamp: float) -> datetime:
    return from_micros(round(stamp * 1_000_000))
