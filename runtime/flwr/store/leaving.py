"""Files that somebody waits to see gone: told when the last of them is removed."""

import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import contextmanager


class _Watch:
    """Some files, and whom to tell when there are none left."""

    def __init__(self, names: Iterable[str], tell: Callable[[], None]) -> None:
        self.left, self.tell = set(names), tell


class Leaving:
    """Who waits for files to go.

    Args:
        is_here: tells whether a file still is; asked once it is watched.
    """

    def __init__(self, is_here: Callable[[str], bool]) -> None:
        self._is_here = is_here
        self._watched: defaultdict[str, list[_Watch]] = defaultdict(list)
        self._turn = threading.Lock()

    @contextmanager
    def watched(self, names: Collection[str], tell: Callable[[], None]) -> Iterator[None]:
        """Call ``tell`` when the last of ``names`` has gone during the block, from any thread."""
        watch = _Watch(names, tell)
        with self._turn:
            for name in watch.left:
                self._watched[name].append(watch)
        try:
            for name in names:
                if not self._is_here(name):
                    self.gone(name)
            yield
        finally:
            with self._turn:
                for name in watch.left:
                    self._watched[name].remove(watch)
                    if not self._watched[name]:
                        del self._watched[name]

    def gone(self, name: str) -> None:
        """Note that a file is not here any more."""
        if name not in self._watched:
            return
        with self._turn:
            watches = self._watched.pop(name, [])
            for watch in watches:
                watch.left.discard(name)
            over = [watch for watch in watches if not watch.left]
        for watch in over:
            watch.tell()
