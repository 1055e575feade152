"""The log that commits go to: numbers them, and makes them durable for all who wait together."""

import contextlib
import os
import threading
import time
from pathlib import Path
from typing import Final, Protocol

from sqlalchemy import Engine

from flwr.store.dialect import replace_row
from flwr.store.errors import driver_errors, system_errors
from flwr.store.folding import Folding, fold_in
from flwr.store.schema import meta

_QUICK_S: Final = 0.0002
"""A disk that needs no longer is waited for where one is: a hand-over to a thread costs as much."""
_MARK: Final = "made-durable"  # a fact that is written for its commit's sake
_WEIGHT: Final = 1 / 8  # of the newest wait in what is expected of the next


class Log(Protocol):
    """Where commits go; numbers them, and makes them durable."""

    commits: int
    """How many there were."""
    syncs: int
    """How often the disk was waited for."""

    @property
    def is_durable_by_itself(self) -> bool:
        """True where a commit is durable when it is made, unless it was to be LATER."""

    def note_commit(self) -> int:
        """Return the number of the commit just made."""

    def is_durable(self, commit: int) -> bool:
        """Tell whether a commit is known to survive a power cut."""

    def sync(self, commit: int) -> None:
        """Wait until a commit, and so all before it, is durable."""

    @property
    def is_quick(self) -> bool:
        """True while ``sync`` takes no longer than handing it to a thread."""

    def close(self) -> None:
        """Let go of files."""


class WriteAheadLog:
    """SQLite's log, made durable for all who wait by the first of them: one disk, one queue.

    SQLite itself waits for the disk when it moves pages from the log to the database, which keeps
    the database sound whatever is lost of the log's end.
    """

    is_durable_by_itself: Final = False

    def __init__(self, database: Path, engine: Engine) -> None:
        """Nothing was committed yet that could be lost; ``engine`` writes to ``database``."""
        self._where, self._engine = str(database), engine
        self._path = database.with_name(database.name + "-wal")
        self._folding = Folding(engine, self._where)
        self._is_doubtful = False  # the kernel may have forgotten what it could not write
        self._lock = threading.Lock()
        self._descriptor: int | None = None
        self._durable, self._expected_s = 0, 0.0
        self.commits = self.syncs = 0

    def note_commit(self) -> int:
        """Return the number of the commit just made; called one at a time."""
        self.commits += 1
        self._folding.note_commit()
        return self.commits

    def is_durable(self, commit: int) -> bool:
        """Tell whether a commit survives a power cut."""
        return commit <= self._durable

    @property
    def is_quick(self) -> bool:
        """True while ``sync`` takes no longer than handing it to a thread."""
        return self._expected_s <= _QUICK_S and not self._lock.locked()

    def sync(self, commit: int) -> None:
        """Wait until a commit, and so all before it, is durable.

        Raises:
            StoreUnavailableError: the disk failed; what was committed may be lost with the power.
        """
        with self._lock:
            if commit <= self._durable:
                return  # somebody waited for us meanwhile
            reached, began = self.commits, time.monotonic()
            with system_errors(str(self._path)):
                self._sync_soundly()
            self.syncs += 1
            self._durable = reached
            self._expected_s += (time.monotonic() - began - self._expected_s) * _WEIGHT

    def close(self) -> None:
        """Let go of the file, and wait until nothing is moved from it."""
        self._folding.close()
        self._let_go()

    def _let_go(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)
        self._descriptor = None

    def _sync_soundly(self) -> None:
        """Sync; what was written before a sync that failed is written again, elsewhere.

        The kernel would call the next sync a success.
        """
        if self._is_doubtful:
            fold_in(self._engine, self._where, all_of_it=True)
        self._is_doubtful = True
        self._sync_file()
        self._is_doubtful = False

    def _sync_file(self) -> None:
        """Sync the log as it is called now: SQLite makes a new one after all had closed it.

        The descriptor is kept: the kernel reports a failed write once to each that was open then.
        """
        with contextlib.suppress(FileNotFoundError):  # all of it is in the database, durably
            found = self._path.stat()
            if self._descriptor is None or os.fstat(self._descriptor).st_ino != found.st_ino:
                self._let_go()
                self._descriptor = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
                _sync_directory(self._path.parent)
            os.fdatasync(self._descriptor)


class ServerLog:
    """Of a server that makes commits durable itself, but for those that were to be LATER."""

    is_durable_by_itself: Final = True
    is_quick: Final = False

    def __init__(self, engine: Engine, where: str) -> None:
        """Write to the server by ``engine``; ``where`` names it in errors."""
        self._engine, self._where = engine, where
        self._lock, self._durable = threading.Lock(), 0
        self.commits = self.syncs = 0

    def note_commit(self) -> int:
        """Return the number of the commit just made."""
        with self._lock:
            self.commits += 1
            return self.commits

    def is_durable(self, commit: int) -> bool:
        """Tell whether a commit is known to survive a power cut."""
        return commit <= self._durable

    def sync(self, commit: int) -> None:
        """Make a commit durable by one that is: the server's log is one, too.

        Raises:
            StoreUnavailableError: the server does not answer.
        """
        reached = self.commits
        if commit <= self._durable:
            return
        with driver_errors(self._where), self._engine.begin() as connection:
            replace_row(connection, meta, {"key": _MARK, "value": str(reached)})
        with self._lock:
            self.syncs += 1
            self._durable = max(self._durable, reached)

    def close(self) -> None:
        """Nothing is open."""


class NoLog:
    """Of a database that need not outlive us."""

    is_durable_by_itself: Final = True
    is_quick: Final = True

    def __init__(self) -> None:
        """Count from nothing."""
        self.commits = self.syncs = 0

    def note_commit(self) -> int:
        """Return the number of the commit just made."""
        self.commits += 1
        return self.commits

    def is_durable(self, commit: int) -> bool:
        """Every commit is as durable as it will be."""
        del commit
        return True

    def sync(self, commit: int) -> None:
        """Do nothing."""

    def close(self) -> None:
        """Nothing is open."""


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
