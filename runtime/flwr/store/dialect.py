"""What SQLite and PostgreSQL spell differently; every other statement of the store is common."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import Connection, Table, func, select

from flwr.store.durability import Durability
from flwr.store.prepared import Prepared

if TYPE_CHECKING:
    from sqlalchemy.dialects import postgresql, sqlite

    Insert = sqlite.Insert | postgresql.Insert

MAX_IDS: Final = 10_000
"""How many values one IN may list; SQLite allows 32,766 variables in a statement."""

_WRITER_LOCK: Final = 0x666C7772  # "flwr"; advisory locks are numbered per database
_LOCKED: Final = func.pg_advisory_xact_lock(_WRITER_LOCK)
_SERIALIZE: Final = Prepared(select(_LOCKED))
_SERIALIZE_LATER: Final = Prepared(
    select(_LOCKED, func.set_config("synchronous_commit", "off", True))
)


def is_sqlite(connection: Connection) -> bool:
    """Tell whether the connection speaks to SQLite."""
    return connection.dialect.name == "sqlite"


def insert(connection: Connection, table: Table) -> "Insert":
    """Return an INSERT that knows ON CONFLICT."""
    return _insert(connection.dialect.name, table)


def insert_new(connection: Connection, table: Table, row: Mapping[str, Any]) -> bool:
    """Insert ``row``; tell whether it is new, that is, whether no unique key was taken."""
    new = _new_row(connection.dialect.name, table, tuple(row))
    return new.first(connection, row) is not None


def insert_missing(connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]]) -> None:
    """Insert those of ``rows`` whose keys are not taken."""
    if rows:
        _missing_rows(connection.dialect.name, table, tuple(rows[0])).change_each(connection, rows)


def insert_or_fill(
    connection: Connection, table: Table, rows: Sequence[Mapping[str, Any]], *, empty: str
) -> None:
    """Insert ``rows``; one whose key is taken fills the row there is if its ``empty`` is NULL."""
    if rows:
        filling = _filling_rows(connection.dialect.name, table, tuple(rows[0]), empty)
        filling.change_each(connection, rows)


def replace_row(connection: Connection, table: Table, row: Mapping[str, Any]) -> None:
    """Insert ``row``, or write it over the one that has its key."""
    _filling_rows(connection.dialect.name, table, tuple(row)).change(connection, row)


@cache  # building a statement costs more than running it
def _new_row(dialect: str, table: Table, columns: tuple[str, ...]) -> Prepared:
    new = _insert(dialect, table).on_conflict_do_nothing()
    return Prepared(new.returning(next(iter(table.primary_key))), is_insert_of=columns)


@cache
def _missing_rows(dialect: str, table: Table, columns: tuple[str, ...]) -> Prepared:
    return Prepared(_insert(dialect, table).on_conflict_do_nothing(), is_insert_of=columns)


@cache
def _filling_rows(
    dialect: str, table: Table, columns: tuple[str, ...], empty: str | None = None
) -> Prepared:
    new = _insert(dialect, table)
    filling = new.on_conflict_do_update(
        index_elements=list(table.primary_key),
        set_={c.name: new.excluded[c.name] for c in table.columns if not c.primary_key},
        where=None if empty is None else table.c[empty].is_(None),
    )
    return Prepared(filling, is_insert_of=columns)


def _insert(dialect: str, table: Table) -> "Insert":
    """Load only the dialect that is spoken: PostgreSQL's takes 40 ms at each start."""
    if dialect == "sqlite":
        from sqlalchemy.dialects import sqlite  # noqa: PLC0415  see above

        return sqlite.insert(table)
    from sqlalchemy.dialects import postgresql  # noqa: PLC0415  see above

    return postgresql.insert(table)


def serialize(connection: Connection, durability: Durability) -> None:
    """Wait for the writer's turn, which ends with the transaction; say what its commit waits for.

    SQLite has one writer at a time by nature, and the store waits for its disk.  PostgreSQL is made
    to behave alike, across replicas: an operation may read, decide and write without a second
    writer in between, and no two operations can deadlock.  Transactions are short; readers never
    wait.
    """
    if not is_sqlite(connection):
        later = durability is Durability.LATER
        (_SERIALIZE_LATER if later else _SERIALIZE).change(connection)
