"""Frames out on a node's line, at either end: one at a time, with all that is ready in each."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from flwr.core.errors import FlwrError
from flwr.core.limits import LINE_COMPANY

_COMPANY_S: Final = LINE_COMPANY.total_seconds()


class LineWriter:
    """Writes what gathers; what gathers during a write goes with the next one.

    Args:
        take: returns the next frame from all that has gathered, None when nothing has.
        write: one frame; a slow line holds it up, and with it what reads at this end.
    """

    def __init__(
        self, take: Callable[[], bytes | None], write: Callable[[bytes], Awaitable[None]]
    ) -> None:
        self._take, self._write = take, write
        self._loop = asyncio.get_running_loop()
        self._is_writing = False
        self._timer: asyncio.TimerHandle | None = None
        self._late: asyncio.Task[None] | None = None

    async def flush(self) -> None:
        """Write what has gathered, unless somebody is writing, who takes it along."""
        if self._is_writing:
            return
        self._forget_timer()
        self._is_writing = True
        try:
            while (frame := self._take()) is not None:
                await self._write(frame)
        finally:
            self._is_writing = False

    def flush_now(self) -> None:
        """Write what has gathered, without waiting for it."""
        if not self._is_writing:
            self._forget_timer()
            self._begin()

    def flush_soon(self, within_s: float = _COMPANY_S) -> None:
        """Write what has gathered with the next frame, or alone after a while."""
        if not self._is_writing and self._timer is None:
            self._timer = self._loop.call_later(within_s, self._begin)

    def close(self) -> None:
        """Write nothing more by itself."""
        self._forget_timer()
        if self._late is not None:
            self._late.cancel()

    def _forget_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _begin(self) -> None:
        self._timer = None
        if self._late is None or self._late.done():  # else it takes along what has gathered
            self._late = self._loop.create_task(self._flush_alone(), name="line-flush")

    async def _flush_alone(self) -> None:
        with suppress(FlwrError):  # whoever reads at this end meets the cause
            await self.flush()
