"""The space of removed files, freed off the way of who removes them.

To free what has been on a disk takes milliseconds for each file.  A file that was removed while it
was open holds its space until it is closed.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

_SLOW_TO_FREE: Final = 1_048_576  # bytes of a file
_MOST_HELD: Final = 128  # files, and descriptors


class Freeing:
    """Closes removed files, one after the other, in a thread of its own."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="freeing")
        self._held: set[int] = set()

    @contextmanager
    def later(self, path: Path, size: int) -> Iterator[None]:
        """Have a file that is removed by the block freed later, if that takes long."""
        is_slow = size >= _SLOW_TO_FREE and len(self._held) < _MOST_HELD
        descriptor = _opened(path) if is_slow else None
        try:
            yield
        finally:
            if descriptor is not None:
                self._held.add(descriptor)
                self._thread.submit(self._let_go, descriptor)

    def close(self) -> None:
        """Wait until nothing is held."""
        self._thread.shutdown()

    def _let_go(self, descriptor: int) -> None:
        self._held.discard(descriptor)
        os.close(descriptor)


def _opened(path: Path) -> int | None:
    with suppress(OSError):  # whoever removes it meets the cause
        return os.open(path, os.O_RDONLY)
    return None
