"""The store: opens the database, and hands out transactions over every noun.

Synchronous, and safe to use from many threads.  It knows no rules: operations decide, it keeps.
"""

import logging
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Final

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES
from flwr.store.contexts import Contexts
from flwr.store.dialect import is_sqlite, serialize
from flwr.store.engine import MEMORY, Engines, make_postgres_engines, parse_place, shown
from flwr.store.errors import NestedTransactionError, driver_errors, system_errors
from flwr.store.events import Events
from flwr.store.fabs import Fabs
from flwr.store.incoming import ArrivedObject, IncomingObject
from flwr.store.leases import Leases
from flwr.store.logs import Logs
from flwr.store.messages import Messages
from flwr.store.meta import Meta
from flwr.store.migration import migrate
from flwr.store.nodes import Nodes
from flwr.store.notify import Notifications
from flwr.store.objects import Objects, ObjectState, require_match
from flwr.store.opening import closing_on_error, open_sqlite, sweep, take_lock
from flwr.store.payloads import PayloadChanges, Payloads
from flwr.store.runs import Runs
from flwr.store.turns import NoTurn, WriterTurn

logger: Final = logging.getLogger(__name__)

Listener = Callable[[frozenset[str]], None]


class Tx:
    """One transaction: every statement below happens, or none does."""

    def __init__(self, connection: Connection, payloads: PayloadChanges) -> None:
        """Give every noun the connection."""
        self.topics: set[str] = set()
        self.runs = Runs(connection)
        self.nodes = Nodes(connection, self.notify)
        self.objects = Objects(connection, payloads)
        self.messages = Messages(connection, self.objects)
        self.leases = Leases(connection, self.notify)
        self.contexts = Contexts(connection)
        self.fabs = Fabs(connection)
        self.logs = Logs(connection)
        self.events = Events(connection)
        self.meta = Meta(connection)

    def notify(self, topic: str) -> None:
        """Wake those who wait for ``topic``, once this transaction has committed."""
        self.topics.add(topic)


class Store:
    """Durable state of one daemon.  Made by ``open_store``."""

    def __init__(
        self,
        where: str,
        engines: Engines,
        payloads: Payloads,
        *,
        turn: WriterTurn | NoTurn,
        cleanup: ExitStack,
        is_shared: bool = False,
    ) -> None:
        """Take over open parts.

        Args:
            where: the database, for error messages.
            engines: its connections.
            payloads: its large objects.
            turn: held during each writing transaction.
            cleanup: what to undo in ``close``.
            is_shared: other programs may have the database open, and are told of our commits.
        """
        self._where = where
        self._engines = engines
        self._payloads = payloads
        self._turn = turn
        self._cleanup = cleanup
        self._memories: tuple[Listener, ...] = ()
        self._listeners: tuple[Listener, ...] = ()
        self._alone = _AloneInThread()
        self._notifications: Notifications | None = None
        if is_shared:
            self._notifications = Notifications(engines.writing, self._tell)
            cleanup.callback(self._notifications.close)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` with the topics of every commit, in the committing thread.

        Commits of other programs on the same database are told in a thread of their own.
        """
        self._listeners = (*self._listeners, listener)

    def subscribe_memory(self, forget: Listener) -> None:
        """Call ``forget`` as a listener, but before any of ``subscribe``: those wake waiters."""
        self._memories = (*self._memories, forget)

    @property
    def hears_all(self) -> bool:
        """True while the commits of all programs on this database are heard here."""
        return self._notifications is None or self._notifications.is_hearing

    @property
    def is_quick(self) -> bool:
        """True while a small transaction is over before another thread would have begun it."""
        return self._turn.is_quick

    @contextmanager
    def transaction(self) -> Iterator[Tx]:
        """Open a writing transaction: commits at the end, rolls back on an exception.

        Raises:
            StoreFullError: the disk is full; nothing was stored.
            StoreUnavailableError: the database does not answer.
            NestedTransactionError: this thread has one open already.
        """
        changes = PayloadChanges(self._payloads)
        with (
            self._alone,
            driver_errors(self._where),
            self._turn,
            self._engines.lend_writing() as connection,
        ):
            tx = Tx(connection, changes)
            work = connection.begin()
            try:
                serialize(connection)
                yield tx
                tx.events.write()
                changes.seal()  # content is durable before the rows that name it
                if self._notifications is not None and tx.topics:
                    self._notifications.send(connection, tx.topics)
            except BaseException:
                work.rollback()
                changes.rolled_back()
                raise
            began = time.monotonic()
            try:
                work.commit()
            except DBAPIError:
                if is_sqlite(
                    connection
                ):  # elsewhere it may have happened: leave files to the sweep
                    changes.rolled_back()
                raise
            self._turn.note_commit(time.monotonic() - began)
        changes.committed()
        self._tell(frozenset(tx.topics))

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Open a read-only transaction: one consistent view, no writer is held up.

        Raises:
            NestedTransactionError: this thread has a transaction open already.
        """
        changes = PayloadChanges(self._payloads)
        with (
            self._alone,
            driver_errors(self._where),
            self._engines.lend_reading() as connection,
            connection.begin(),
        ):
            yield Tx(connection, changes)

    def announce(self, topics: Iterable[str]) -> None:
        """Tell listeners, here and in programs that share the database, without any change."""
        if self._notifications is None:
            self._tell(frozenset(topics))
            return
        with self.transaction() as tx:
            tx.topics.update(topics)

    def put_object(
        self, object_id: ObjectId, content: bytes, *, topics: Iterable[str] = ()
    ) -> bool:
        """Store the content of an announced object, as ``tx.objects.put`` in its own transaction.

        A large one is written to disk before the transaction, so other writers need not wait.
        ``topics`` are told when it is stored.
        """
        if len(content) <= INLINE_OBJECT_BYTES:
            with self.transaction() as tx:
                tx.topics.update(topics)
                return tx.objects.put(object_id, content)
        with self.reading() as tx:
            state = tx.objects.state(object_id)
        if state is not ObjectState.AWAITED:
            require_match(object_id, content)
            return state is ObjectState.PRESENT
        arriving = self.begin_object(object_id, len(content))
        try:
            arriving.write(content)
            arrived = arriving.finish()
        except BaseException:
            arriving.abandon()
            raise
        with self.keeping([arrived]) as tx:
            tx.topics.update(topics)
            return tx.objects.take(arrived)

    def begin_object(self, object_id: ObjectId, size: int) -> IncomingObject:
        """Begin an object of ``size`` bytes that arrives in pieces.

        Raises:
            TooLargeError: one object may not have so many.
            StoreUnwritableError: a file cannot be made.
        """
        return IncomingObject(self._payloads, object_id, size)

    @contextmanager
    def keeping(self, arrived: Iterable[ArrivedObject]) -> Iterator[Tx]:
        """Open a writing transaction that takes what arrived; what it does not take is dropped."""
        files = [one.file for one in arrived if one.file is not None]
        is_adopted = False
        try:
            with self.transaction() as tx:
                tx.objects.adopt(files)
                is_adopted = True
                yield tx
        finally:
            if not is_adopted:
                self._payloads.remove(files)

    def close(self) -> None:
        """Close every connection; transactions must have ended."""
        self._cleanup.close()

    def _tell(self, topics: frozenset[str]) -> None:
        if not topics:
            return
        for listener in (*self._memories, *self._listeners):
            try:
                listener(topics)
            except Exception:
                logger.exception("A listener failed", extra={"event": "store.listener-failed"})


class _AloneInThread(threading.local):
    """Entered by whoever has a transaction: a thread has one at a time."""

    is_open = False

    def __enter__(self) -> None:
        if self.is_open:
            raise NestedTransactionError
        self.is_open = True

    def __exit__(self, *_: object) -> None:
        self.is_open = False


def open_store(url_or_path: str, *, payload_dir: Path | None = None) -> Store:
    """Open a store, creating or migrating it as needed.

    Args:
        url_or_path: path of an SQLite file, a ``sqlite:///`` or ``postgresql+psycopg://`` URL, or
            ``:memory:`` for one that vanishes when closed (tests).
        payload_dir: where large objects go; by default ``<database>.objects`` beside the file.

    Raises:
        StoreCorruptError: the database is damaged.
        StoreNewerSchemaError: a newer version wrote it.
        StoreUnwritableError: its place cannot be written.
        StoreUnavailableError: it cannot be reached.
        InvalidError: ``url_or_path`` names no such database.
    """
    with ExitStack() as undo:
        if url_or_path == MEMORY:
            directory = undo.enter_context(tempfile.TemporaryDirectory(prefix="flwr-store-"))
            path = Path(directory) / "store.db"
            return _open_sqlite(path, payload_dir, undo, durable=False)
        url = parse_place(url_or_path)
        if url.get_backend_name() == "sqlite":
            return _open_sqlite(Path(str(url.database)), payload_dir, undo, durable=True)
        return _open_postgres(url, payload_dir, undo)


def _open_sqlite(path: Path, payload_dir: Path | None, undo: ExitStack, *, durable: bool) -> Store:
    where = str(path)
    payloads = Payloads(payload_dir or path.with_name(f"{path.name}.objects"))
    with system_errors(where), driver_errors(where):
        lock = take_lock(path.with_name(f"{path.name}.lock"))
        with closing_on_error(lock):
            engines = open_sqlite(path, payloads, lock, durable=durable)
        lock.share()
    undo.callback(lock.close)
    undo.callback(engines.dispose)
    return Store(where, engines, payloads, turn=WriterTurn(), cleanup=undo.pop_all())


def _open_postgres(url: URL, payload_dir: Path | None, undo: ExitStack) -> Store:
    if payload_dir is None:
        raise InvalidError(
            "a PostgreSQL store needs a directory for large objects",
            hint="name one that all replicas share",
        )
    where = shown(url)
    payloads = Payloads(payload_dir)
    with system_errors(str(payload_dir)), driver_errors(where):
        lock = take_lock(payload_dir / "store.lock")
        undo.callback(lock.close)
        engines = make_postgres_engines(url)
        undo.callback(engines.dispose)
        migrate(engines.writing, where)
        if lock.is_alone:
            sweep(engines, payloads)
        lock.share()
    return Store(where, engines, payloads, turn=NoTurn(), cleanup=undo.pop_all(), is_shared=True)
