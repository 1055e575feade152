"""Who lends connections in a transaction: kept ones to an SQLite file, pooled ones to a server.

SQLAlchemy's pool and transactions look after connections that may be lost, which costs more than a
small transaction.  A file is not lost; whatever goes wrong with a connection, it is not lent again.
"""

from collections import deque
from typing import Final, Protocol

from sqlalchemy import Connection, Engine

from flwr.store.prepared import run_text

MOST: Final = 8
"""Connections kept; more are made while needed."""


class Lender(Protocol):
    """Lends connections in a transaction; each must be committed or rolled back.  Thread-safe."""

    def begin(self) -> Connection:
        """Return a connection in a transaction of its own."""

    def commit(self, connection: Connection) -> None:
        """Commit, and take the connection back; if that fails, it is rolled back."""

    def rollback(self, connection: Connection) -> None:
        """Roll back, and take the connection back."""

    def close(self) -> None:
        """Close those that nobody has."""


class KeptConnections:
    """Lends connections of one engine for SQLite that stay open."""

    def __init__(self, engine: Engine, begin: str) -> None:
        """Keep none yet; ``begin`` is the statement that begins a transaction."""
        self._engine, self._begin = engine, begin
        self._idle: deque[Connection] = deque()

    def begin(self) -> Connection:
        """Return a connection in a transaction of its own."""
        try:
            connection = self._idle.pop()  # the one used last: its pages are in memory
        except IndexError:
            connection = self._engine.connect()
        try:
            run_text(connection, self._begin)
        except BaseException:
            connection.close()
            raise
        return connection

    def commit(self, connection: Connection) -> None:
        """Commit, and take the connection back; if that fails, it is rolled back."""
        try:
            run_text(connection, "COMMIT")
            if connection.in_transaction():  # SQLAlchemy noticed a statement that it ran itself
                connection.commit()
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < MOST and not connection.invalidated:
            self._idle.append(connection)
        else:
            connection.close()

    def rollback(self, connection: Connection) -> None:
        """Roll back, and let the connection go."""
        connection.close()  # which rolls back

    def close(self) -> None:
        """Close those that nobody has."""
        while self._idle:
            self._idle.pop().close()


class PooledConnections:
    """Lends connections of an engine with a pool that looks after them."""

    def __init__(self, engine: Engine) -> None:
        """Lend those of ``engine``."""
        self._engine = engine

    def begin(self) -> Connection:
        """Return a connection in a transaction of its own."""
        connection = self._engine.connect()
        try:
            connection.begin()
        except BaseException:
            connection.close()
            raise
        return connection

    def commit(self, connection: Connection) -> None:
        """Commit, and take the connection back; if that fails, it is rolled back."""
        with connection:
            connection.commit()

    def rollback(self, connection: Connection) -> None:
        """Roll back, and take the connection back."""
        connection.close()

    def close(self) -> None:
        """The engine closes its own."""
