"""From a URL or path to database engines: one that writes, one that only reads."""

import re
import sqlite3
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError
from sqlalchemy.pool import QueuePool

from flwr.core.errors import InvalidError
from flwr.store.folding import PAGES
from flwr.store.kept import KeptConnections, Lender, PooledConnections
from flwr.store.prepared import run_text

MEMORY: Final = ":memory:"
_BUSY_TIMEOUT_S: Final = 10.0  # how long another process may hold the writer's turn
_WAL_KEPT_BYTES: Final = 67_108_864  # what a burst may leave of the write-ahead log
_IDLE_CONNECTIONS: Final = 8  # kept open; more are made while needed
_IDLE_MS: Final = 60_000  # PostgreSQL frees the locks of a replica that hangs in a transaction
_BEGIN_WRITING: Final = "BEGIN IMMEDIATE"
_BEGIN_READING: Final = "BEGIN"
_POSTGRES: Final = "postgresql+psycopg"
_NETWORK: Final = {  # a server that is gone without a word is noticed within half a minute
    "connect_timeout": 10,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
    "application_name": "flwr",
}
_HOST: Final = re.compile(r"[A-Za-z0-9._:%-]*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Engines:
    """The two ways into one database; transactions borrow connections from ``lend_...``."""

    writing: Engine
    reading: Engine
    lend_writing: Lender
    lend_reading: Lender

    def dispose(self) -> None:
        """Close every idle connection."""
        self.lend_reading.close()
        self.lend_writing.close()
        self.reading.dispose()
        self.writing.dispose()


class NoDriverError(InvalidError):
    """This installation lacks the driver of PostgreSQL."""

    def __init__(self, why: str) -> None:
        """Keep the reason."""
        super().__init__(
            f"this installation cannot use PostgreSQL: {why}",
            hint="install it with its driver: pip install 'flwr-compose[postgres]'",
        )


def shown(url: URL) -> str:
    """Return where a database is, for people: no password, nor options that may hold one."""
    return url.set(query={}).render_as_string(hide_password=True)


def parse_place(url_or_path: str) -> URL:
    """Return where the database is; anything without ``://`` is the path of an SQLite file.

    Raises:
        InvalidError: the URL is malformed or names another kind of database.
    """
    if "://" not in url_or_path:
        return URL.create("sqlite", database=str(Path(url_or_path).absolute()))
    try:
        url = make_url(url_or_path)
    except (ArgumentError, ValueError):
        raise _unreadable(url_or_path) from None  # the cause may show a password
    if not _HOST.fullmatch(url.host or "") or "@" in (url.database or ""):
        raise _unreadable(url_or_path)
    if url.drivername in {"postgresql", "postgres", _POSTGRES}:
        return url.set(drivername=_POSTGRES)
    if url.get_backend_name() == "sqlite" and url.database and not url.query:
        return URL.create("sqlite", database=str(Path(url.database).absolute()))
    raise _unknown(shown(url))


def make_sqlite_engines(path: Path, *, durable: bool = True) -> Engines:
    """Return engines for an SQLite file; the file must exist.

    Args:
        path: the database file.
        durable: whether a commit survives a power cut; tests may do without.
    """
    writing = _sqlite(path, begin=_BEGIN_WRITING, durable=durable, read_only=False)
    reading = _sqlite(path, begin=_BEGIN_READING, durable=durable, read_only=True)
    return Engines(
        writing,
        reading,
        KeptConnections(writing, _BEGIN_WRITING),
        KeptConnections(reading, _BEGIN_READING),
    )


def make_postgres_engines(url: URL) -> Engines:
    """Return engines for a PostgreSQL database.

    Raises:
        NoDriverError: this installation cannot speak to PostgreSQL.
    """
    try:
        engine = create_engine(
            url,
            pool_size=_IDLE_CONNECTIONS,
            max_overflow=-1,
            pool_use_lifo=True,
            hide_parameters=True,  # errors are logged
            pool_pre_ping=True,  # the server may have restarted meanwhile
            connect_args={name: v for name, v in _NETWORK.items() if name not in url.query},
        )
    except ImportError as cause:
        raise NoDriverError(str(cause)) from cause
    event.listen(engine, "connect", _limit_waiting)
    reading = engine.execution_options(postgresql_readonly=True)
    return Engines(engine, reading, PooledConnections(engine), PooledConnections(reading))


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
        driver: Any = connection.connection.driver_connection
        if not driver.in_transaction:  # whoever lends kept connections begins without SQLAlchemy
            run_text(connection, begin)

    event.listen(engine, "connect", prepare)
    event.listen(engine, "begin", start)
    return engine


def _set_pragmas(connection: sqlite3.Connection, *, durable: bool, read_only: bool) -> None:
    # Commits are made durable by ``commit_log``; SQLite itself syncs when it moves pages.
    connection.execute(f"PRAGMA synchronous = {'NORMAL' if durable else 'OFF'}")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA temp_store = MEMORY")
    if read_only:
        connection.execute("PRAGMA query_only = ON")
    else:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute(f"PRAGMA journal_size_limit = {_WAL_KEPT_BYTES}")
        connection.execute(f"PRAGMA wal_autocheckpoint = {PAGES}")


def _limit_waiting(connection: Any, record: Any) -> None:
    del record
    with connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = {round(_BUSY_TIMEOUT_S * 1000)}")
        cursor.execute(f"SET idle_in_transaction_session_timeout = {_IDLE_MS}")
    connection.commit()


def _unreadable(text: str) -> InvalidError:
    scheme = text.partition("://")[0]
    return InvalidError(
        f"the database URL {scheme}://... cannot be read; it is not shown, it may hold a password",
        hint="write postgresql://user:password@host/database; in a password @ : / % are written "
        "%40 %3A %2F %25",
    )


def _unknown(place: str) -> InvalidError:
    return InvalidError(
        f"{place!r} names no database this version can use",
        hint="give the path of an SQLite file, or postgresql+psycopg://user@host/database",
    )
