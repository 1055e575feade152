"""Forks that never outlive their maker, by the kernel's hand, at the price of one ``close``.

``death_signal`` asks for the same in the child, where ctypes alone copies a hundred pages of
memory.  Here the maker asks once: when nobody can write to its pipe any more, the kernel kills its
process group.
"""

import fcntl
import os
import signal
import sys


class Leash:
    """Made before the first fork by a process that leads its own group; Linux only."""

    def __init__(self) -> None:
        self._end, self._held = os.pipe()
        if sys.platform == "linux":
            fcntl.fcntl(self._end, fcntl.F_SETOWN, -os.getpgrp())
            fcntl.fcntl(self._end, fcntl.F_SETSIG, signal.SIGKILL)
            flags = fcntl.fcntl(self._end, fcntl.F_GETFL)
            fcntl.fcntl(self._end, fcntl.F_SETFL, flags | os.O_ASYNC)

    def put_on(self) -> None:
        """In a fork, at once: from now on it dies with its maker; if that has died, here."""
        os.close(self._held)
