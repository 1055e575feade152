"""The store: opens the database, and hands out transactions over every noun.

Synchronous, and safe to use from many threads.  It knows no rules: operations decide, it keeps.
"""

import tempfile
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import AbstractContextManager as ContextManager
from contextlib import ExitStack, closing, contextmanager
from pathlib import Path
from typing import ParamSpec, TypeVar

from sqlalchemy import URL, Connection
from sqlalchemy.exc import DBAPIError

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES
from flwr.store.audience import Audience, Listener
from flwr.store.commit_log import Log, NoLog, ServerLog, WriteAheadLog
from flwr.store.dialect import is_sqlite, serialize
from flwr.store.durability import Durability
from flwr.store.engine import MEMORY, Engines, make_postgres_engines, parse_place, shown
from flwr.store.errors import driver_errors, raise_translated, system_errors
from flwr.store.incoming import ArrivedObject, IncomingObject
from flwr.store.migration import migrate
from flwr.store.notify import Notifications
from flwr.store.objects import ObjectState, require_match
from flwr.store.opening import closing_on_error, open_sqlite, sweep, take_lock
from flwr.store.payload_changes import PayloadChanges
from flwr.store.payloads import Payloads
from flwr.store.put_off import PutOff
from flwr.store.transactions import OfThread, Tx
from flwr.store.turns import NoTurn, WriterTurn
from flwr.store.untold import Untold

__all__ = ["Store", "Tx", "open_store"]

P = ParamSpec("P")
T = TypeVar("T")


class Store:
    """Durable state of one daemon.  Made by ``open_store``."""

    def __init__(
        self,
        where: str,
        engines: Engines,
        payloads: Payloads,
        *,
        turn: WriterTurn | NoTurn,
        log: Log,
        cleanup: ExitStack,
        is_shared: bool = False,
    ) -> None:
        """Take over open parts.

        Args:
            where: the database, for error messages.
            engines: its connections.
            payloads: its large objects.
            turn: held during each writing transaction.
            log: makes commits durable.
            cleanup: what to undo in ``close``.
            is_shared: other programs may have the database open, and are told of our commits.
        """
        self._where = where
        self._engines = engines
        self._payloads = payloads
        self._turn, self._log = turn, log
        self._cleanup = cleanup
        self._audience = Audience()
        self._thread = OfThread()
        self._untold, self._put_off = Untold(), PutOff()
        self._notifications: Notifications | None = None
        if is_shared:
            self._notifications = Notifications(engines.writing, self._audience.tell)
            cleanup.callback(self._notifications.close)

    def subscribe(self, listener: Listener) -> None:
        """Call ``listener`` with the topics of every commit, in the committing thread.

        Commits of other programs on the same database are told in a thread of their own.
        """
        self._audience.admit(listener)

    def subscribe_memory(self, forget: Listener) -> None:
        """Call ``forget`` as a listener, but before any of ``subscribe``: those wake waiters."""
        self._audience.admit_memory(forget)

    @property
    def hears_all(self) -> bool:
        """True while the commits of all programs on this database are heard here."""
        return self._notifications is None or self._notifications.is_hearing

    @property
    def is_quick(self) -> bool:
        """True while a small transaction is over before another thread would have begun it."""
        return self._turn.is_quick

    @contextmanager
    def transaction(
        self, durability: Durability = Durability.TOLD, *, instead_of: str | None = None
    ) -> Iterator[Tx]:
        """Open a writing transaction: commits at the end, rolls back on an exception.

        ``instead_of`` is the key of a write that was put off: unless it was made by now, it is
        ``tx.taken_over``, and left to this transaction.

        Raises:
            StoreFullError: the disk is full; nothing was stored.
            StoreUnavailableError: the database does not answer.
            NestedTransactionError: this thread has one open already.
        """
        changes, lender = PayloadChanges(self._payloads), self._engines.lend_writing
        with self._thread:
            try:
                with self._turn:
                    connection = lender.begin()
                    try:
                        serialize(connection, durability)
                        tx = Tx(connection, changes)
                        made = self._put_off.make(tx, but=instead_of) if self._put_off else ()
                        yield tx
                        tx.events.write()
                        changes.seal()  # content is durable before the rows that name it
                        if self._notifications is not None and tx.topics:
                            self._notifications.send(connection, tx.topics)
                    except BaseException:
                        lender.rollback(connection)
                        changes.rolled_back()
                        raise
                    commit = self._commit(connection, changes, writes=bool(made or not tx.put_off))
                    self._put_off.settle(made, tx.put_off)
                    self._note(commit, topics := frozenset(tx.topics), durability)
            except DBAPIError as cause:
                raise_translated(self._where, cause)
        if changes.gives_up_files:  # a row may name a file for as long as its end is not durable
            self._log.sync(commit)
        changes.committed()
        self._see_to(commit, topics, durability)

    def postponed(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, int]:
        """Run an operation that need not wait for the disk: the caller does, with ``settle``.

        Returns:
            What it returned, and the commit that the caller has to ``settle`` before anybody else
            hears of it; 0 when there is none.
        """
        thread = self._thread
        thread.postpones, thread.owes = True, 0
        try:
            return op(*args, **kwargs), thread.owes
        except BaseException:
            self.settle(thread.owes)  # nobody else would
            raise
        finally:
            thread.postpones = False

    @property
    def is_urgent(self) -> bool:
        """True while somebody besides its caller waits for a commit to be settled."""
        return bool(self._untold)

    @property
    def newest(self) -> int:
        """The number of the newest commit."""
        return self._log.commits

    def is_settled(self, commit: int) -> bool:
        """Tell whether a commit is durable, and who waits for it was told."""
        return self._log.is_durable(commit) and not self._untold.has(commit)

    def settle(self, commit: int | None = None) -> None:
        """Wait until a commit, or all there are, is durable, and tell who waits for that.

        Raises:
            StoreUnavailableError: the disk failed.
        """
        until = self._log.commits if commit is None else commit
        try:
            self._log.sync(until)
        finally:  # if it failed, they see what was committed all the same
            for topics in self._untold.take(until):
                self._audience.tell_listeners(topics)

    @property
    def settles_quickly(self) -> bool:
        """True while ``settle`` takes no longer than handing it to a thread."""
        return self._log.is_quick

    @contextmanager
    def reading(self) -> Iterator[Tx]:
        """Open a read-only transaction: one consistent view, no writer is held up.

        Raises:
            NestedTransactionError: this thread has a transaction open already.
        """
        lender = self._engines.lend_reading
        self._make_what_was_put_off()
        with self._thread:
            try:
                connection = lender.begin()
                try:
                    yield Tx(connection, PayloadChanges(self._payloads))
                except BaseException:
                    lender.rollback(connection)
                    raise
                lender.commit(connection)
            except DBAPIError as cause:
                raise_translated(self._where, cause)

    def announce(self, topics: Iterable[str]) -> None:
        """Tell listeners, here and in programs that share the database, without any change."""
        if self._notifications is None:
            self._audience.tell(frozenset(topics))
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

    def begin_object(
        self, object_id: ObjectId | None, size: int, *, durable: bool = True
    ) -> IncomingObject:
        """Begin an object of ``size`` bytes, whatever its id if there is none, in pieces.

        It is ``durable`` when it is finished, else when ``settle_objects`` is asked for it.

        Raises:
            TooLargeError: one object may not have so many.
            StoreUnwritableError: a file cannot be made.
        """
        return IncomingObject(self._payloads, object_id, size, durable=durable)

    def settle_objects(self, files: Iterable[str] | None = None) -> None:
        """Wait until those of objects, or all, that are left survive a power cut with their rows.

        Raises:
            StoreUnavailableError: the disk failed.
        """
        if files is None:
            self._make_what_was_put_off()
        self._payloads.sync(files)
        self.settle()

    def watching(self, files: Collection[str], tell: Callable[[], None]) -> ContextManager[None]:
        """Call ``tell``, from any thread, when the last of these files of objects has gone."""
        return self._payloads.leaving.watched(files, tell)

    @contextmanager
    def keeping(
        self, arrived: Iterable[ArrivedObject], durability: Durability = Durability.TOLD
    ) -> Iterator[Tx]:
        """Open a writing transaction that takes what arrived; what it does not take is dropped."""
        files = [one.file for one in arrived if one.file is not None]
        is_adopted = False
        try:
            with self.transaction(durability) as tx:
                tx.objects.adopt(files)
                is_adopted = True
                yield tx
        finally:
            if not is_adopted:
                self._payloads.remove(files)

    def close(self) -> None:
        """Close every connection; transactions must have ended."""
        self._cleanup.close()

    def _make_what_was_put_off(self) -> None:
        if self._put_off:
            with self.transaction(Durability.LATER):
                pass

    def _commit(self, connection: Connection, changes: PayloadChanges, *, writes: bool) -> int:
        began = time.monotonic()
        try:
            self._engines.lend_writing.commit(connection)
        except DBAPIError:
            if is_sqlite(connection):  # elsewhere it may have happened: leave files to the sweep
                changes.rolled_back()
            raise
        self._turn.note_commit(time.monotonic() - began)
        return self._log.note_commit() if writes else self._log.commits

    def _note(self, commit: int, topics: frozenset[str], durability: Durability) -> None:
        """Forget what a commit made wrong, before anybody else reads or writes."""
        self._audience.tell_memories(topics)
        if self._waits(durability) and durability is Durability.TOLD:
            self._untold.add(commit, topics)

    def _see_to(self, commit: int, topics: frozenset[str], durability: Durability) -> None:
        """Tell of a commit, and wait for the disk or leave that to the caller."""
        if not self._waits(durability):
            self._audience.tell_listeners(topics)
            return
        if durability is Durability.ANSWERED:
            self._audience.tell_listeners(topics)
        if self._thread.postpones:
            self._thread.owes = commit
        else:
            self.settle(commit)

    def _waits(self, durability: Durability) -> bool:
        is_urgent = durability in (Durability.TOLD, Durability.ANSWERED)
        return is_urgent and not self._log.is_durable_by_itself


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
    directory = payload_dir or path.with_name(f"{path.name}.objects")
    payloads = undo.enter_context(closing(Payloads(directory)))
    with system_errors(where), driver_errors(where):
        lock = take_lock(path.with_name(f"{path.name}.lock"))
        with closing_on_error(lock):
            engines = open_sqlite(path, payloads, lock, durable=durable)
        lock.share()
    undo.callback(lock.close)
    undo.callback(engines.dispose)
    log = WriteAheadLog(path, engines.writing) if durable else NoLog()
    undo.callback(log.close)
    return Store(where, engines, payloads, turn=WriterTurn(), log=log, cleanup=undo.pop_all())


def _open_postgres(url: URL, payload_dir: Path | None, undo: ExitStack) -> Store:
    if payload_dir is None:
        raise InvalidError(
            "a PostgreSQL store needs a directory for large objects",
            hint="name one that all replicas share",
        )
    where = shown(url)
    payloads = undo.enter_context(closing(Payloads(payload_dir)))
    with system_errors(str(payload_dir)), driver_errors(where):
        lock = take_lock(payload_dir / "store.lock")
        undo.callback(lock.close)
        engines = make_postgres_engines(url)
        undo.callback(engines.dispose)
        migrate(engines.writing, where)
        if lock.is_alone:
            sweep(engines, payloads)
        lock.share()
    log, turn = ServerLog(engines.writing, where), NoTurn()
    return Store(
        where, engines, payloads, turn=turn, log=log, cleanup=undo.pop_all(), is_shared=True
    )
