"""Wake-ups between the programs that share one PostgreSQL database.

The topics of a commit travel inside its transaction (NOTIFY), so nobody hears of what was rolled
back, and nobody hears too early.  One thread listens; what this program committed itself it has
told its listeners already.  SQLite needs none of this: one program has it open.
"""

import json
import logging
import os
import secrets
import selectors
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, Engine, text

from flwr.core.errors import FlwrError
from flwr.core.topics import EVERY_TOPIC
from flwr.store.errors import driver_errors
from flwr.store.prepared import Prepared

logger: Final = logging.getLogger(__name__)

_MOST_BYTES: Final = 7000  # of one notification; PostgreSQL takes 8000
_SEND: Final = Prepared(text("SELECT pg_notify('flwr_' || current_schema(), :payload)"))
_CHANNEL: Final = text("SELECT quote_ident('flwr_' || current_schema())")
_RETRY_FIRST: Final = timedelta(milliseconds=200)
_RETRY_CAP: Final = timedelta(seconds=5)

Tell = Callable[[frozenset[str]], None]


class Notifications:
    """Sends the topics of our commits to other programs, and hears of theirs."""

    def __init__(self, engine: Engine, tell: Tell) -> None:
        """Begin to listen.

        Args:
            engine: of the database.
            tell: called in the listening thread with the topics of another program's commit.
        """
        self._engine, self._tell = engine, tell
        self._sender = secrets.token_hex(8)
        self._closed = threading.Event()
        self._is_hearing = False
        self._wake_read, self._wake_write = os.pipe()
        self._thread = threading.Thread(target=self._listen, name="notifications", daemon=True)
        self._thread.start()

    @property
    def is_hearing(self) -> bool:
        """True while what others commit arrives here; a server that is gone is noticed in 30 s."""
        return self._is_hearing

    def send(self, connection: Connection, topics: Iterable[str]) -> None:
        """Send ``topics`` to the others when the transaction of ``connection`` commits."""
        for some in _parts(sorted(topics)):
            payload = json.dumps([self._sender, *some], ensure_ascii=False)
            _SEND.change(connection, {"payload": payload})

    def close(self) -> None:
        """Stop listening."""
        self._closed.set()
        os.write(self._wake_write, b"\0")
        self._thread.join()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def _listen(self) -> None:
        pause, is_lost = _RETRY_FIRST, False
        while not self._closed.is_set():
            cause = ""
            try:
                with driver_errors("database"), _listening(self._engine) as connection:
                    if is_lost:
                        logger.info("Hears other programs again", extra={"event": "notify-found"})
                    self._tell(frozenset({EVERY_TOPIC}))  # what was told until now was missed
                    pause, is_lost, self._is_hearing = _RETRY_FIRST, False, True
                    self._hear(connection)
            except FlwrError as error:
                cause = error.message
            self._is_hearing = False
            if self._closed.is_set():
                return
            # Programs that are not told still look every now and then: slower, but right.
            if not is_lost:
                logger.warning(
                    "Cannot hear other programs of this database, trying on",
                    extra={"event": "notify-lost", "cause": cause},
                )
            is_lost = True
            self._closed.wait(pause.total_seconds())
            pause = min(2 * pause, _RETRY_CAP)

    def _hear(self, connection: Any) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.fileno(), selectors.EVENT_READ)
            selector.register(self._wake_read, selectors.EVENT_READ)
            while not self._closed.is_set():
                selector.select()
                try:
                    for notice in connection.notifies(timeout=0):
                        self._deliver(notice.payload)
                except connection.OperationalError:  # the server ended the session
                    return

    def _deliver(self, payload: str) -> None:
        try:
            sender, *topics = json.loads(payload)
        except (ValueError, TypeError):
            return  # somebody else uses our channel
        if sender != self._sender:
            self._tell(frozenset(map(str, topics)))


@contextmanager
def _listening(engine: Engine) -> Iterator[Any]:
    """Yield a driver's connection of its own, outside of any transaction, that hears the others."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as borrowed:
        channel = borrowed.execute(_CHANNEL).scalar_one()
        borrowed.exec_driver_sql(f"LISTEN {channel}")
        driver: Any = borrowed.connection.driver_connection
        borrowed.detach()  # closed, not given back, at the end of this block
        yield driver


def _parts(topics: Sequence[str]) -> Iterator[list[str]]:
    part: list[str] = []
    size = 0
    for topic in topics:
        size += len(topic.encode()) + 8
        if part and size > _MOST_BYTES:
            yield part
            part, size = [], len(topic.encode()) + 8
        part.append(topic)
    if part:
        yield part
