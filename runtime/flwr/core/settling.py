"""How long it is put off to promise that content is durable (ADR-0023).

What is gone by then, because somebody else has it, never reaches the disk.
"""

from dataclasses import dataclass
from datetime import timedelta
from typing import Final

_SLOW_APP: Final = 25_000_000  # bytes per second, until it has used and answered them
_LONGEST: Final = timedelta(minutes=1)
_PROGRESS: Final = timedelta(seconds=10)  # what came in such a time is sent again after a power cut


@dataclass(frozen=True, slots=True)
class Settling:
    """When one who takes objects in has the disk have them."""

    at_the_end: timedelta
    """After the last object; more for many bytes."""
    while_more_comes: timedelta = timedelta()
    """After the first that is not promised yet, for who promises some before all are there."""

    def after(self, size_bytes: int) -> timedelta:
        """Return how long to wait after the last of so many bytes."""
        return self.at_the_end + min(timedelta(seconds=size_bytes / _SLOW_APP), _LONGEST)


REPLIES: Final = Settling(timedelta(milliseconds=500), _PROGRESS)
"""At a SuperLink, until its ServerApp has them; their nodes keep them as long."""

INSTRUCTIONS: Final = Settling(timedelta(seconds=1))
"""At a node, until they are answered; the SuperLink keeps them as long."""
