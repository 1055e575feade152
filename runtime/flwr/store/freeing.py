"""What large content leaves: freed off the way of who moves it, when somebody can use it.

To free what has been on a disk takes milliseconds for each file.  A file that was removed while it
was open holds its space until it is closed.

Where a machine is a guest, memory that is free for seconds goes back to its host, and to get it
again costs ten times what it costs to use it.  Rounds of a large model free gigabytes of the page
cache, and need them again soon.  So it is kept until the next large file is written, for a while.
But it counts among what waits for the disk, and from some limit on the kernel writes that, removed
or not.  So none is kept where half as much waits, looked at when a file comes or goes.

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
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

from flwr.core.allocator import give_back
from flwr.shell.memory import available_memory, is_writing_near

_SLOW_TO_FREE: Final = 1_048_576  # bytes of a file
_HELD_S: Final = 10.0  # the longest
_MOST_BYTES: Final = 2_147_483_648
_OF_MEMORY: Final = 16  # and no more than such a part of it
_OF_DESCRIPTORS: Final = 4  # no more than such a part of those that a process may have
_CALM_S: Final = 1.0  # after the last large file was begun
_MUCH: Final = 134_217_728  # bytes of files between two calms; after fewer memory is kept


@dataclass(frozen=True, slots=True)
class _Held:
    """A removed file."""

    descriptor: int
    size: int
    until: float


class Freeing:
    """Closes removed files, one after the other, and gives memory back, in a thread of its own.

    Args:
        now: seconds, of a clock that only goes forward.
        most_bytes: to be held.
        most_files: to be held, each with a descriptor.
        is_writing_near: tells whether the kernel is about to write what waits in memory.
        give_back: gives memory back that this process does not use.
    """

    def __init__(
        self,
        now: Callable[[], float] = time.monotonic,
        *,
        most_bytes: int | None = None,
        most_files: int | None = None,
        is_writing_near: Callable[[], bool] = is_writing_near,
        give_back: Callable[[], None] = give_back,
    ) -> None:
        self._now, self._is_writing_near, self._give_back = now, is_writing_near, give_back
        self._most_bytes = _spare_bytes() if most_bytes is None else most_bytes
        self._most_files = _spare_descriptors() if most_files is None else most_files
        self._held: deque[_Held] = deque()
        self._bytes = self._wanted = 0  # held; of these to be freed at once
        self._came = 0  # bytes, since it was calm
        self._calm_at = 0.0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    @contextmanager
    def later(self, path: Path, size: int) -> Iterator[None]:
        """Have a file that is removed by the block freed later, if that takes long."""
        is_slow = size >= _SLOW_TO_FREE and len(self._held) < self._most_files
        descriptor = _opened(path) if is_slow and not self._is_closed else None
        try:
            yield
        finally:
            if descriptor is not None:
                self._hold(_Held(descriptor, size, self._now() + _HELD_S))

    def make_room(self, size: int) -> None:
        """Free space soon for a file of ``size`` bytes that is written now, if some is held."""
        if size >= _SLOW_TO_FREE and not self._is_closed:
            with self._changed:
                is_first = not self._came
                self._came += size
                self._calm_at = self._now() + _CALM_S
                self._wanted += size if self._held else 0
                if is_first or self._wanted:
                    self._wake()

    def free_all(self) -> bool:
        """Free everything at once, for the disk is full; False when nothing is held."""
        with self._changed:
            held, self._held = self._held, deque()
            self._bytes = self._wanted = 0
        for one in held:
            os.close(one.descriptor)
        return bool(held)

    def close(self) -> None:
        """Wait until nothing is held."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join()

    def _hold(self, held: _Held) -> None:
        with self._changed:
            self._held.append(held)
            self._bytes += held.size
            self._wake()

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
            while not self._is_due():
                if self._is_closed:
                    return None
                if self._is_calm():
                    came, self._came = self._came, 0
                    if came >= _MUCH:
                        return self._give_back
                self._changed.wait(self._left_s())
            oldest = self._held.popleft()
            self._bytes -= oldest.size
            self._wanted = max(0, self._wanted - oldest.size) if self._held else 0
            return partial(os.close, oldest.descriptor)

    def _is_due(self) -> bool:
        if not self._held:
            return False
        is_over = self._is_closed or self._held[0].until <= self._now()
        is_too_much = self._wanted > 0 or self._bytes > self._most_bytes
        return is_over or is_too_much or self._is_writing_near()

    def _is_calm(self) -> bool:
        return bool(self._came) and self._calm_at <= self._now()

    def _left_s(self) -> float | None:
        """Return the seconds until something has to be done; None: when somebody says so."""
        times = [self._held[0].until] if self._held else []
        times += [self._calm_at] if self._came else []
        return min(times) - self._now() if times else None


def _opened(path: Path) -> int | None:
    with suppress(OSError):  # whoever removes it meets the cause
        return os.open(path, os.O_RDONLY)
    return None


def _spare_bytes() -> int:
    return min(_MOST_BYTES, available_memory() // _OF_MEMORY)


def _spare_descriptors() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return soft // _OF_DESCRIPTORS
