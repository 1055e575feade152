"""Where copies of large arrays go: to a daemon beside this process, if it has a place for them.

A copy is made to be sent.  What is with the daemon already need not be sent again, and is not held
twice.  Whoever runs apps says where the place is; without one, copies are in memory.
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from flwr.app.parts import Parts, Place


@dataclass(frozen=True, slots=True)
class Copy:
    """A copy of the bytes of an array."""

    parts: Parts
    """Where it can be read."""
    ids: Sequence[str] = ()
    """Of the objects that it is sent as, if that is known: a part is the body of one."""


Depot = Callable[[Sequence[Place]], Copy | None]
"""Copies bytes; None: keep them yourself."""

_present: Final = list[tuple[int, Depot]]()  # each with its process: what that forks has none


def begin(depot: Depot) -> None:
    """Have copies of large arrays go there, until ``end``."""
    _present.append((os.getpid(), depot))


def end() -> None:
    """Have them go where they went before."""
    _present.pop()


def deposited(parts: Sequence[Place]) -> Copy | None:
    """Return a copy of ``parts`` that is kept elsewhere; None where there is no such place."""
    if not _present:
        return None
    pid, depot = _present[-1]
    return depot(parts) if pid == os.getpid() else None
