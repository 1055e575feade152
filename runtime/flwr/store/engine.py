"""From a URL or path to database engines: one that writes, one that only reads."""

import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from flwr.core.errors import InvalidError

MEMORY: Final = ":memory:"
_BUSY_TIMEOUT_S: Final = 10.0  # how long another process may hold the writer's turn
_WAL_KEPT_BYTES: Final = 67_108_864  # what a burst may leave of the write-ahead log
_IDLE_CONNECTIONS: Final = 8  # kept open; more are made while needed
_IDLE_MS: Final = 60_000  # PostgreSQL frees the locks of a replica that hangs in a transaction
_POSTGRES: Final = "postgresql+psycopg"


@dataclass(frozen=True, slots=True)
class Engines:
    """The two ways into one database."""

    writing: Engine
    reading: Engine

    def dispose(self) -> None:
        """Close every idle connection."""
        self.reading.dispose()
        self.writing.dispose()


def parse_place(url_or_path: str) -> URL:
    """Return where the database is; anything without ``://`` is the path of an SQLite file.

    Raises:
        InvalidError: the URL is malformed or names another kind of database.
    """
    if "://" not in url_or_path:
        return URL.create("sqlite", database=str(Path(url_or_path).absolute()))
    try:
        url = make_url(url_or_path)
    except ArgumentError as cause:
        raise _unknown(url_or_path) from cause
    if url.drivername in {"postgresql", "postgres", _POSTGRES}:
        return url.set(drivername=_POSTGRES)
    if url.get_backend_name() == "sqlite" and url.database and not url.query:
        return URL.create("sqlite", database=str(Path(url.database).absolute()))
    raise _unknown(url.render_as_string(hide_password=True))


def make_sqlite_engines(path: Path, *, durable: bool = True) -> Engines:
    """Return engines for an SQLite file; the file must exist.

    Args:
        path: the database file.
        durable: whether a commit survives a power cut; tests may do without.
    """
    return Engines(
        writing=_sqlite(path, begin="BEGIN IMMEDIATE", durable=durable, read_only=False),
        reading=_sqlite(path, begin="BEGIN", durable=durable, read_only=True),
    )


def make_postgres_engines(url: URL) -> Engines:
    """Return engines for a PostgreSQL database."""
    engine = create_engine(
        url,
        pool_size=_IDLE_CONNECTIONS,
        max_overflow=-1,
        pool_use_lifo=True,
        pool_pre_ping=True,  # the server may have restarted meanwhile
    )
    event.listen(engine, "connect", _limit_waiting)
    return Engines(
        writing=engine,
        reading=engine.execution_options(postgresql_readonly=True),
    )


def _sqlite(path: Path, *, begin: str, durable: bool, read_only: bool) -> Engine:
    engine = create_engine(
        URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        pool_size=_IDLE_CONNECTIONS,
        max_overflow=-1,
        pool_use_lifo=True,
        connect_args={
            "timeout": _BUSY_TIMEOUT_S,
            "isolation_level": None,  # we say BEGIN ourselves
            "check_same_thread": False,  # the pool hands a connection to one thread at a time
            "cached_statements": 256,
        },
    )

    def prepare(connection: sqlite3.Connection, record: Any) -> None:
        del record
        _set_pragmas(connection, durable=durable, read_only=read_only)

    def start(connection: Connection) -> None:
        connection.exec_driver_sql(begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", start)
    return engine


def _set_pragmas(connection: sqlite3.Connection, *, durable: bool, read_only: bool) -> None:
    connection.execute(f"PRAGMA synchronous = {'FULL' if durable else 'OFF'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")


def _limit_waiting(connection: Any, record: Any) -> None:
    del record
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {round(_BUSY_TIMEOUT_S * 1000)}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    connection.commit()


def _unknown(shown: str) -> InvalidError:
    return InvalidError(
        f"{shown!r} names no database this version can use",
        hint="give the path of an SQLite file, or postgresql+psycopg://user@host/database",
    )
