"""Whether a process that has imported an app may be forked for messages, and what to renew then.

A forked child must be like a fresh interpreter that has just imported the app.  What a fork would
share (threads, descriptors, other processes) makes the template unfit; random numbers are renewed,
unless the app's import seeded them.  Runs in the template and in its children.
"""

import os
import random
import signal
import threading
import time
import warnings
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flwr.core.limits import TEMPLATE_MAX_BYTES

_TASKS: Final = Path("/proc/self/task")
_DESCRIPTORS: Final = Path("/proc/self/fd")
_HARMLESS: Final = frozenset({"/dev/null", "/dev/zero", "/dev/random", "/dev/urandom"})
_BLOCK_BITS: Final = 32 * 624  # one whole state of the generator both libraries use
_MOST_BLOCKS: Final = 64  # drawn by an import; beyond that the state counts as seeded
_THREADS_END_S: Final = 0.5  # after they were joined, until the kernel forgets them
_STEP_S: Final = 0.001


@dataclass
class _Draws:
    """Random generators that got no seed while the app was imported."""

    unseeded: "weakref.WeakSet[random.Random]" = field(default_factory=weakref.WeakSet)
    numpy: int = 0  # seeds that numpy took from the system


class Freshness:
    """Watches the import of one app; begin before it."""

    def __init__(self) -> None:
        import numpy.random  # noqa: PLC0415  # after confinement, which its threads would escape

        self._numpy: Any = numpy.random
        self._descriptors = set(_open_descriptors())
        self._python_state = random.getstate()
        self._numpy_state: Any = self._numpy.get_state(legacy=False)
        self._draws = _Draws()
        self._seeded_state: tuple[Any, ...] | None = None
        self._is_numpy_seeded = False

    @contextmanager
    def importing(self) -> Iterator[None]:
        """Note, while the block runs, which generators start from the system's randomness."""
        draws, source = self._draws, self._numpy.bit_generator
        seed, take = random.Random.seed, source.randbits

        def note(self: random.Random, a: Any = None, version: int = 2) -> None:
            (draws.unseeded.add if a is None else draws.unseeded.discard)(self)
            seed(self, a, version)

        def count(bits: int) -> int:
            draws.numpy += 1
            taken: int = take(bits)
            return taken

        random.Random.seed = note  # type: ignore[method-assign]
        source.randbits = count
        try:
            yield
        finally:
            random.Random.seed = seed  # type: ignore[method-assign]
            source.randbits = take
            self._note_seeds()

    def why_unfit(self) -> str | None:
        """Return why this process must not be forked, None when it may be."""
        checks: tuple[Callable[[], str | None], ...] = (
            _why_processes,
            _why_threads,
            self._why_descriptors,
            self._why_random,
            _why_memory,
        )
        return next((why for check in checks if (why := check())), None)

    def renew(self) -> None:
        """In a child: let random numbers differ, but for those whose seed is the app's."""
        for generator in list(self._draws.unseeded):
            generator.seed()
        if self._seeded_state is not None:  # Python itself has drawn a new one
            random.setstate(self._seeded_state)
        if not self._is_numpy_seeded:
            self._numpy.seed()

    def _note_seeds(self) -> None:
        state = random.getstate()
        if not _is_drawn_python(self._python_state, state):
            self._seeded_state = state
        after = self._numpy.get_state(legacy=False)
        self._is_numpy_seeded = not self._is_drawn_numpy(after)

    def _is_drawn_numpy(self, after: Any) -> bool:
        """Tell whether the global state is what drawing numbers makes of the one before."""
        if after["bit_generator"] != self._numpy_state["bit_generator"]:
            return False
        trial = self._numpy.RandomState(0)
        trial.set_state(self._numpy_state)
        for _ in range(_MOST_BLOCKS):
            if (trial.get_state(legacy=False)["state"]["key"] == after["state"]["key"]).all():
                return True
            trial.bytes(_BLOCK_BITS // 8)
        return False

    def _why_descriptors(self) -> str | None:
        for number, target in _open_descriptors().items():
            if number not in self._descriptors and target not in _HARMLESS:
                return f"its import left {target} open"
        return None

    def _why_random(self) -> str | None:
        if self._draws.numpy:
            return "its import makes a random generator of numpy without a seed"
        return None


def _is_drawn_python(before: tuple[Any, ...], after: tuple[Any, ...]) -> bool:
    trial = random.Random()  # noqa: S311  # no secret
    trial.setstate(before)
    for _ in range(_MOST_BLOCKS):
        if trial.getstate()[1][:-1] == after[1][:-1]:
            return True
        trial.getrandbits(_BLOCK_BITS)
    return False


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
    if used <= TEMPLATE_MAX_BYTES:
        return None
    return f"it takes {used >> 20} MiB once it is imported, more than {TEMPLATE_MAX_BYTES >> 20}"
