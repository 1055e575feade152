"""What commits have changed, and nobody was told yet, because they are not durable."""

import threading
from collections import deque


class Untold:
    """The topics of such commits, in the order of these; used by any thread."""

    def __init__(self) -> None:
        """Begin with nothing to tell."""
        self._commits: deque[tuple[int, frozenset[str]]] = deque()
        self._taking = threading.Lock()

    def add(self, commit: int, topics: frozenset[str]) -> None:
        """Note the newest commit; called one at a time."""
        self._commits.append((commit, topics))

    def take(self, until: int) -> list[frozenset[str]]:
        """Return, once, the topics of every commit up to one."""
        taken = []
        with self._taking:
            while self._commits and self._commits[0][0] <= until:
                taken.append(self._commits.popleft()[1])
        return taken

    def has(self, until: int) -> bool:
        """Tell whether a commit up to one is among them."""
        with self._taking:
            return bool(self._commits) and self._commits[0][0] <= until

    def __bool__(self) -> bool:
        """Tell whether there are any."""
        return bool(self._commits)
