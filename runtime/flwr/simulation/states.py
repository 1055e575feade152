"""What virtual nodes keep between messages: in memory up to a limit, beyond it on disk.

SQLite's private database does just that: pages that no longer fit go to a file without a name in
the directory for temporary files, which is gone with the process, whatever way that ends.
"""

import sqlite3
from typing import Final

MAX_STATE_BYTES: Final = 900_000_000  # SQLite's own limit is 1,000,000,000
_MEMORY_BYTES: Final = 64 * 1024 * 1024


class StateRefusedError(Exception):
    """A state cannot be kept; the text says why."""


class NodeStates:
    """A pickled state per partition; for use under a lock.

    Args:
        memory_bytes: how much of them is kept in memory.
    """

    def __init__(self, memory_bytes: int = _MEMORY_BYTES) -> None:
        self._memory_bytes = memory_bytes
        self._database: sqlite3.Connection | None = None  # most apps keep nothing

    def get(self, partition: int) -> bytes | None:
        """Return what a node keeps, None if nothing."""
        if self._database is None:
            return None
        found = self._database.execute(
            "SELECT state FROM states WHERE partition = ?", (partition,)
        ).fetchone()
        return None if found is None else bytes(found[0])

    def put(self, partition: int, state: bytes) -> None:
        """Let a node keep ``state``.

        Raises:
            StateRefusedError: it is larger than ``MAX_STATE_BYTES``, or there is no room on disk.
        """
        if len(state) > MAX_STATE_BYTES:
            raise StateRefusedError(f"it has {len(state)} bytes, {MAX_STATE_BYTES} are possible")
        try:
            if self._database is None:
                self._database = self._open()
            self._database.execute("REPLACE INTO states VALUES (?, ?)", (partition, state))
        except sqlite3.Error as cause:
            raise StateRefusedError(f"it does not fit on disk: {cause}") from cause

    def close(self) -> None:
        """Forget everything."""
        if self._database is not None:
            self._database.close()
            self._database = None

    def _open(self) -> sqlite3.Connection:
        database = sqlite3.connect("", check_same_thread=False, isolation_level=None)
        database.execute(f"PRAGMA cache_size = -{self._memory_bytes // 1024}")
        database.execute("PRAGMA journal_mode = OFF")
        database.execute("CREATE TABLE states (partition INTEGER PRIMARY KEY, state BLOB)")
        return database
