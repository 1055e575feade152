"""What SQLite and PostgreSQL spell differently; every other statement of the store is common."""

from typing import Final
from zlib import crc32

from sqlalchemy import Connection, Table, func, select
from sqlalchemy.dialects import postgresql, sqlite

MAX_IDS: Final = 10_000
"""How many values one IN may list; SQLite allows 32,766 variables in a statement."""

Insert = sqlite.Insert | postgresql.Insert


def is_sqlite(connection: Connection) -> bool:
    """Tell whether the connection speaks to SQLite."""
    return connection.dialect.name == "sqlite"


def insert(connection: Connection, table: Table) -> Insert:
    """Return an INSERT that knows ON CONFLICT."""
    return sqlite.insert(table) if is_sqlite(connection) else postgresql.insert(table)


def serialize(connection: Connection, name: str) -> None:
    """Let one transaction at a time past this point; SQLite's writer lock does so already."""
    if not is_sqlite(connection):
        key = crc32(f"flwr-compose {name}".encode())
        connection.execute(select(func.pg_advisory_xact_lock(key)))
