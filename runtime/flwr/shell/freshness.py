"""Whether a process that has imported an app may be forked for messages, and what to renew then.

A forked child must be like a fresh interpreter that has just imported the app.  What a fork would
share (threads, descriptors, other processes) makes the template unfit; random numbers are renewed,
unless the app's import seeded them.  Runs in the template and in its children.
"""

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from flwr.core.allocator import give_back
from flwr.core.limits import TEMPLATE_MAX_BYTES
from flwr.shell.memory import memory_limit
from flwr.shell.random_numbers import RandomNumbers

_TASKS: Final = Path("/proc/self/task")
_DESCRIPTORS: Final = Path("/proc/self/fd")
_MAPPINGS: Final = Path("/proc/self/maps")
_HARMLESS: Final = frozenset({"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"})
_THREADS_END_S: Final = 0.5  # after they were joined, until the kernel forgets them
_STEP_S: Final = 0.001


class Freshness:
    """Watches the import of one app; begin before it."""

    def __init__(self) -> None:
        self._random = RandomNumbers()
        self._descriptors = set(_open_descriptors())
        self._mappings = _shared_mappings()

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Watch while the block runs, and clear away what it dropped."""
        with self._random.importing():
            yield
        gc.collect()  # it may still be open
        give_back()  # else forks copy memory in which nothing is

    def why_unfit(self) -> str | None:
        """Return why this process must not be forked, None when it may be."""
        checks: tuple[Callable[[], str | None], ...] = (
            _why_processes,
            _why_threads,
            self._why_descriptors,
            self._why_shared_memory,
            self._random.why_alike,
            _why_memory,
        )
        return next((why for check in checks if (why := check())), None)

    def renew(self) -> None:
        """Before a fork: let its random numbers differ, but for those whose seed is the app's."""
        self._random.renew()

    def keep_seeds(self) -> None:
        """In a fork: take back what Python has renewed against the app's own seed."""
        self._random.keep_seeds()

    def _why_descriptors(self) -> str | None:
        for number, target in _open_descriptors().items():
            if number not in self._descriptors and target not in _HARMLESS:
                return f"its import left {target} open"
        return None

    def _why_shared_memory(self) -> str | None:
        new = _shared_mappings() - self._mappings
        return f"its import shares memory: {min(new)}" if new else None


def _shared_mappings() -> set[str]:
    """Return what is mapped so that what a fork writes there reaches the others."""
    lines = _MAPPINGS.read_text().splitlines()
    entries = (line.split(maxsplit=5) for line in lines)
    return {entry[-1] for entry in entries if entry[1].startswith("rw") and entry[1][3] == "s"}


def _open_descriptors() -> dict[int, str]:
    """Return what is open, by number."""
    found = {}
    for entry in _DESCRIPTORS.iterdir():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except OSError:  # the one this listing was read from
            continue
    return found


def _why_processes() -> str | None:
    if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
        return "its import ignores SIGCHLD"
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return None
    return "its import started another process"


def _why_threads() -> str | None:
    """Look for threads; those of libraries that end them before a fork are none."""
    own = [thread.name for thread in threading.enumerate()]
    if len(own) > 1:
        return f"its import started the thread {own[-1]}"
    if _threads() > 1:
        _fork_for_nothing()
    deadline = time.monotonic() + _THREADS_END_S
    while (count := _threads()) > 1 and time.monotonic() < deadline:
        time.sleep(_STEP_S)
    return None if count == 1 else f"its import started {count - 1} threads"


def _threads() -> int:
    return sum(1 for _ in _TASKS.iterdir())


def _fork_for_nothing() -> None:
    """Let libraries prepare for a fork: OpenBLAS, for one, joins its threads."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)


def _why_memory() -> str | None:
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    used = pages * os.sysconf("SC_PAGE_SIZE")
    granted = memory_limit()
    most = TEMPLATE_MAX_BYTES if granted is None else min(TEMPLATE_MAX_BYTES, granted // 2)
    if used <= most:
        return None
    return f"it takes {used >> 20} MiB once it is imported, more than {most >> 20} MiB"
