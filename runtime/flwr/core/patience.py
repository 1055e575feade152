"""How long it is put off to promise that content is durable (ADR-0023).

What is gone by then, because somebody else has it, never reaches the disk.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_LONGEST: Final = timedelta(seconds=10)  # what comes in such a time is sent again after a power cut
_SLOW_DISK: Final = 100_000_000  # bytes per second; an app that collects them is no slower


@dataclass(frozen=True, slots=True)
class Patience:
    """Of one who takes objects in."""

    while_more_comes: timedelta
    """After the first object that is not promised yet."""
    at_the_end: timedelta
    """After the last; more for many bytes."""

    def after(self, size_bytes: int) -> timedelta:
        """Return how long to wait after the last of so many bytes."""
        return self.at_the_end + min(timedelta(seconds=size_bytes / _SLOW_DISK), _LONGEST)


REPLIES: Final = Patience(_LONGEST, timedelta(milliseconds=500))
"""At a SuperLink, until its ServerApp has them; their nodes keep them as long."""

INSTRUCTIONS: Final = Patience(_LONGEST, timedelta(seconds=1))
"""At a node, until they are answered; the SuperLink keeps them as long."""
