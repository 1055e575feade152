"""Moving what is in SQLite's log to the database, beside those who write and not in their way.

SQLite would do it in the commit that makes the log long, which waits for the disk twice and writes
hundreds of pages: hundreds of times a commit.  It still does if this falls behind.
"""

import logging
import sqlite3
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, Final

from sqlalchemy import Engine

from flwr.store.errors import StoreUnavailableError

logger: Final = logging.getLogger(__name__)

COMMITS: Final = 64
"""After so many the log is moved; a commit of small messages is some ten pages of 4 KiB."""
_TIMES: Final = 4
"""How often what was written meanwhile is moved after the rest: less each time."""
PAGES: Final = 4000
"""Of the log, at which SQLite moves it itself; it reads from the log until then."""


def fold_in(engine: Engine, where: str, *, all_of_it: bool) -> bool:
    """Move the write-ahead log to the database, durably.

    Args:
        engine: that writes.
        where: the database, for error messages.
        all_of_it: wait for those who read or write, and leave an empty log; else move what can be
            moved without that.

    Returns:
        False when more was written meanwhile: only what was moved whole is written anew.

    Raises:
        StoreUnavailableError: it cannot be done now.
    """
    with engine.connect() as connection:
        driver: Any = connection.connection.dbapi_connection
        mode = "TRUNCATE" if all_of_it else "PASSIVE"
        try:
            is_busy, written, moved = driver.execute(f"PRAGMA wal_checkpoint({mode})").fetchone()
        except sqlite3.Error as cause:
            raise StoreUnavailableError(where, str(cause)) from cause
    if is_busy and all_of_it:
        raise StoreUnavailableError(where, "its log is in use")
    return bool(written == moved)


class Folding:
    """Folds the log of one database in from time to time, in a thread of its own."""

    def __init__(self, engine: Engine, where: str) -> None:
        """Begin with the next commits."""
        self._engine, self._where = engine, where
        self._threads = ThreadPoolExecutor(1, thread_name_prefix="folding")  # made when needed
        self._under_way: Future[None] | None = None
        self._commits = 0

    def note_commit(self) -> None:
        """Take note of a commit; called one at a time."""
        self._commits += 1
        if self._commits >= COMMITS and (self._under_way is None or self._under_way.done()):
            self._commits = 0
            self._under_way = self._threads.submit(self._fold)

    def close(self) -> None:
        """Wait until nothing is under way."""
        self._threads.shutdown()

    def _fold(self) -> None:
        try:
            for _ in range(_TIMES):
                if fold_in(self._engine, self._where, all_of_it=False):
                    break
        except Exception as error:  # noqa: BLE001 - SQLite does it, in some commit
            logger.warning(
                "Cannot move the log to the database now",
                extra={"event": "store.folding", "path": self._where, "cause": str(error)},
            )
