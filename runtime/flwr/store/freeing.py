"""What large content leaves, freed off the way of who moves it.

To free what has been on a disk takes milliseconds for each file.  A file that was removed while it
was open has its space until it is closed, which a thread does.

The memory that pieces took on their way is kept by the allocator for the next ones.  It is given
back when none come while others, an app above all, have work to do.
"""

import os
import resource
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Final

from flwr.core.allocator import give_back

_SLOW_TO_FREE: Final = 1_048_576  # bytes of a file
_OF_DESCRIPTORS: Final = 4  # no more than such a part of those that a process may have
_CALM_S: Final = 1.0  # after the last large file was begun
_MUCH: Final = 134_217_728  # bytes of files between two calms; after fewer memory is kept


class Freeing:
    """Closes removed files, one after the other, and gives memory back, in a thread of its own.

    Args:
        now: seconds, of a clock that only goes forward.
        most_files: to be closed, each with a descriptor.
        give_back: gives memory back that this process does not use.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        *,
        most_files: int | None = None,
        give_back: Callable[[], None] = give_back,
    ) -> None:
        self._now, self._give_back = now, give_back
        self._most_files = _spare_descriptors() if most_files is None else most_files
        self._removed: deque[int] = deque()  # descriptors
        self._came = 0  # bytes, since it was calm
        self._calm_at = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def later(self, path: Path, size: int) -> Iterator[None]:
        """Have a file that is removed by the block freed after it, if that takes long."""
        is_slow = size >= _SLOW_TO_FREE and len(self._removed) < self._most_files
        descriptor = _opened(path) if is_slow and not self._is_closed else None
        try:
            yield
        finally:
            if descriptor is not None:
                with self._changed:
                    self._removed.append(descriptor)
                    self._wake()

    def note_begun(self, size: int) -> None:
        """Note that a file of ``size`` bytes is written now: its memory may be given back later."""
        if size >= _SLOW_TO_FREE and not self._is_closed:
            with self._changed:
                is_first = not self._came
                self._came += size
                self._calm_at = self._now() + _CALM_S
                if is_first:
                    self._wake()

    def free_all(self) -> bool:
        """Free everything at once, for the disk is full; False when there is nothing."""
        with self._changed:
            removed, self._removed = self._removed, deque()
        for descriptor in removed:
            os.close(descriptor)
        return bool(removed)

    def close(self) -> None:
        """Wait until everything is free."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _wake(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="freeing", daemon=True)
            self._thread.start()
        self._changed.notify()

    def _run(self) -> None:
        while (work := self._next()) is not None:
            work()

    def _next(self) -> Callable[[], None] | None:
        """Return what is to be done next, when it is time; None at the end."""
        with self._changed:
            while not self._removed:
                if self._is_closed:
                    return None
                if self._is_calm():
                    came, self._came = self._came, 0
                    if came >= _MUCH:
                        return self._give_back
                self._changed.wait(self._calm_at - self._now() if self._came else None)
            return partial(os.close, self._removed.popleft())

    def _is_calm(self) -> bool:
        return bool(self._came) and self._calm_at <= self._now()


def _opened(path: Path) -> int | None:
    with suppress(OSError):  # whoever removes it meets the cause
        return os.open(path, os.O_RDONLY)
    return None


def _spare_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // _OF_DESCRIPTORS
