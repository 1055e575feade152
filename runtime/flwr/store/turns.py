"""The writer's turn of an SQLite store: one at a time, and how long a commit takes by now."""

import threading
from typing import Final

_QUICK_S: Final = 0.003
"""A commit that takes no longer holds up a loop less than handing it to a thread would."""
_WEIGHT: Final = 1 / 8  # of the newest commit in what is expected of the next


class WriterTurn:
    """Held during each writing transaction; threads would otherwise wait by polling."""

    def __init__(self) -> None:
        """Expect commits to be quick."""
        self._lock = threading.Lock()
        self._expected_s = 0.0

    def __enter__(self) -> None:
        """Wait for the turn."""
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        """Let the next one write."""
        self._lock.release()

    @property
    def is_quick(self) -> bool:
        """True while nobody writes, and the disk has made the latest commits durable at once."""
        return self._expected_s <= _QUICK_S and not self._lock.locked()

    def note_commit(self, seconds: float) -> None:
        """Learn how long a commit took; call it while holding the turn."""
        self._expected_s += (seconds - self._expected_s) * _WEIGHT


class NoTurn:
    """Of a database that has its own order of writers, and is somewhere else."""

    is_quick: Final = False

    def __enter__(self) -> None:
        """Go on."""

    def __exit__(self, *_: object) -> None:
        """Go on."""

    def note_commit(self, seconds: float) -> None:
        """Nothing is learnt: the way there counts too."""
