"""Which line a node has, and when it opens another: where lines are offered, and not too often."""

import asyncio
import logging
import random
from collections.abc import Awaitable, Callable
from typing import Final

from flwr.core.errors import FlwrError
from flwr.core.ids import MessageId
from flwr.core.limits import LINE_PAUSE, LINE_STEADY
from flwr.wire.clients.line import NodeLine

logger = logging.getLogger(__name__)

_STEADY_S: Final = LINE_STEADY.total_seconds()
_PAUSE_S: Final = LINE_PAUSE.total_seconds()


class LineKeeper:
    """Keeps one line at most.

    Args:
        open_one: opens a line.
    """

    def __init__(self, open_one: Callable[[], Awaitable[NodeLine]]) -> None:
        self._open_one = open_one
        self._line: NodeLine | None = None
        self._opened_at = self._closed_until = 0.0
        self._pause_s = 0.0
        self.is_offered = False
        """The SuperLink says that it serves lines."""

    @property
    def now(self) -> NodeLine | None:
        """The line there is."""
        return self._line if self._line is not None and self._line.is_open else None

    async def get(self) -> NodeLine | None:
        """Return the line, or a new one; None when a call must do."""
        if self._line is not None:
            return self._line  # also one that has ended: what came on it is still to be taken
        now = asyncio.get_running_loop().time()
        if not self.is_offered or now < self._closed_until:
            return None
        self._opened_at = now
        try:
            self._line = await self._open_one()
        except FlwrError as error:
            self._note_failure()
            logger.debug("No line", extra={"event": "line-refused", "cause": error.message})
            return None
        logger.debug("Opened a line", extra={"event": "line-opened"})
        return self._line

    def drop(self) -> list[MessageId]:
        """Have done with a line that has ended; return what it has left to confirm."""
        line, self._line = self._line, None
        if line is None:
            return []
        self._note_failure()
        return line.close()

    def close(self) -> None:
        """End the line, and have no other before one is offered anew."""
        self.is_offered = False
        if self._line is not None:
            self._line.close()
            self._line = None

    def _note_failure(self) -> None:
        """Wait before the next one, unless this one was steady: then it only was to be renewed."""
        now = asyncio.get_running_loop().time()
        if now - self._opened_at >= _STEADY_S:
            self._pause_s = 0.0
            return
        self._pause_s = min(max(2 * self._pause_s, _PAUSE_S), _STEADY_S)
        self._closed_until = now + self._pause_s * random.uniform(0.5, 1)  # noqa: S311 - spreads load
