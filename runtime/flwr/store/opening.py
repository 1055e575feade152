"""Opening an SQLite store: find damage, create or migrate, and clean up after a crash.

A lock file beside the database says whether anybody else has it open.  Whoever is alone may sweep.
"""

import contextlib
import fcntl
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from sqlalchemy import select, update

from flwr.core.ids import ObjectId
from flwr.store.engine import Engines, make_sqlite_engines
from flwr.store.errors import StoreCorruptError, driver_errors
from flwr.store.migration import find_revision, migrate
from flwr.store.payloads import Payloads
from flwr.store.schema import object_

_HEADER: Final = b"SQLite format 3\0"
_COMPANIONS: Final = ("-wal", "-shm", "-journal")


class OpenLock:
    """A shared lock on a store, held while it is open; exclusive at first if nobody else has it."""

    def __init__(self, path: Path) -> None:
        """Take the lock at ``path``; waits while another process creates or checks the store."""
        self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            self.is_alone = True
        except BlockingIOError:
            fcntl.flock(self._descriptor, fcntl.LOCK_SH)
            self.is_alone = False

    def share(self) -> None:
        """Let others in."""
        fcntl.flock(self._descriptor, fcntl.LOCK_SH)
        self.is_alone = False

    def close(self) -> None:
        """Give the lock up."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
        self._descriptor = -1


@contextlib.contextmanager
def closing_on_error(lock: OpenLock) -> Iterator[None]:
    """Give the lock up if opening fails."""
    try:
        yield
    except BaseException:
        lock.close()
        raise


def take_lock(path: Path) -> OpenLock:
    """Return the lock of a store, making its directory if need be."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return OpenLock(path)


def open_sqlite(path: Path, payloads: Payloads, lock: OpenLock, *, durable: bool) -> Engines:
    """Return engines for a sound database at this version's schema.

    Raises:
        StoreCorruptError: the file is damaged, or gone while its companions remain.
        StoreNewerSchemaError: a newer version wrote it.
    """
    if not path.exists():
        _refuse_remains(path, payloads)
        _create(path, durable=durable)
    _check_header(path)
    engines = make_sqlite_engines(path, durable=durable)
    try:
        _check_content(engines, str(path))
        migrate(engines.writing, str(path))
        if lock.is_alone:
            sweep(engines, payloads)
    except BaseException:
        engines.dispose()
        raise
    return engines


def sweep(engines: Engines, payloads: Payloads) -> None:
    """Remove files no row names; mark objects awaited whose file is lost; needs to be alone."""
    named = select(object_.c.object_id, object_.c.file).where(object_.c.file.is_not(None))
    with engines.reading.connect() as connection, connection.begin():
        wanted = {row.file: row.object_id for row in connection.execute(named)}
    present = set(payloads.names())
    payloads.remove(sorted(present - wanted.keys()))
    lost = [
        object_id
        for name, object_id in wanted.items()
        if name not in present or not payloads.is_sound(name, ObjectId(object_id))
    ]
    if lost:
        absent = update(object_).values(size_bytes=None, content=None, file=None)
        with engines.writing.connect() as connection, connection.begin():
            for object_id in lost:
                connection.execute(absent.where(object_.c.object_id == object_id))


def _refuse_remains(path: Path, payloads: Payloads) -> None:
    log = path.with_name(path.name + "-wal")
    if log.exists() and log.stat().st_size > 0:
        raise StoreCorruptError(str(path), f"the file is gone but {log.name} remains")
    if next(payloads.names(), None) is not None:
        raise StoreCorruptError(
            str(path),
            f"the file is gone but objects remain in {payloads.directory}",
        )


def _create(path: Path, *, durable: bool) -> None:
    # Made under another name: a database is never seen half made, even after a power cut.
    unfinished = path.with_name(path.name + ".new")
    for leftover in ("", *_COMPANIONS):
        unfinished.with_name(unfinished.name + leftover).unlink(missing_ok=True)
    os.close(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    engines = make_sqlite_engines(unfinished, durable=durable)
    try:
        migrate(engines.writing, str(path))
    finally:
        engines.dispose()  # the last connection folds the write-ahead log in
    unfinished.rename(path)
    descriptor = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _check_header(path: Path) -> None:
    with path.open("rb") as file:
        header = file.read(len(_HEADER))
    if not header:
        raise StoreCorruptError(str(path), "the file is empty")
    if header != _HEADER:
        raise StoreCorruptError(str(path), "it is not an SQLite database")


def _check_content(engines: Engines, where: str) -> None:
    # Only reads: what is damaged, or is not ours, stays as it was found.
    with driver_errors(where), engines.reading.connect() as connection:
        rows = connection.exec_driver_sql("PRAGMA quick_check(1)").scalars().all()
        if rows != ["ok"]:
            raise StoreCorruptError(where, str(rows[0]))
        if find_revision(connection, where) is None:
            raise StoreCorruptError(where, "it holds no tables")
