"""Frames out on a node's line, at either end: one at a time, with all that is ready in each."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress

from flwr.core.errors import FlwrError


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
        self._beside: asyncio.Task[None] | None = None

    async def flush(self) -> None:
        """Write what has gathered, unless somebody is writing, who takes it along."""
        if self._is_writing:
            return
        self._is_writing = True
        try:
            while (frame := self._take()) is not None:
                await self._write(frame)
        finally:
            self._is_writing = False

    def flush_soon(self) -> None:
        """Write, beside the caller, what has gathered by the end of this turn of the loop."""
        if not self._is_writing and (self._beside is None or self._beside.done()):
            self._beside = self._loop.create_task(self._flush_beside(), name="line-flush")

    def close(self) -> None:
        """Write nothing more by itself."""
        if self._beside is not None:
            self._beside.cancel()

    async def _flush_beside(self) -> None:
        with suppress(FlwrError):  # whoever reads at this end meets the cause
            await self.flush()
