"""Connections to an SQLite file that stay open, each lent to one transaction at a time.

SQLAlchemy's pool looks after connections that may be lost, which costs more than a small
transaction.  A file is not lost; whatever goes wrong with a connection, it is not lent again.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from sqlalchemy import Connection, Engine

MOST: Final = 8
"""Connections kept; more are made while needed."""


class KeptConnections:
    """Lends connections of one engine; thread-safe."""

    def __init__(self, engine: Engine) -> None:
        """Keep none yet."""
        self._engine = engine
        self._idle: deque[Connection] = deque()

    @contextmanager
    def __call__(self) -> Iterator[Connection]:
        """Lend a connection without a transaction; it comes back without one."""
        try:
            connection = self._idle.pop()  # the one used last: its pages are in memory
        except IndexError:
            connection = self._engine.connect()
        try:
            yield connection
        except BaseException:
            connection.close()
            raise
        if len(self._idle) < MOST and not connection.invalidated:
            self._idle.append(connection)
        else:
            connection.close()

    def close(self) -> None:
        """Close those that nobody has."""
        while self._idle:
            self._idle.pop().close()
