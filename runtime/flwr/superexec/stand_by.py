"""One runner of a ServerApp that has started before there is a launch for it.

It knows no token yet, so it may do nothing; its app's process is confined and has imported what
every ServerApp needs, and nothing of an app.  It serves one launch, as any other runner does.  The
next one is made a while later, or when that app has ended: an app that begins has the processor.
"""

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import Final

from flwr.core.limits import STAND_BY_CALM, STAND_BY_PAUSE
from flwr.shell.children import Child
from flwr.shell.memory import is_memory_short

log = logging.getLogger(__name__)

_Libraries = tuple[tuple[str, int], ...]
_AT_ONCE: Final = timedelta(0)
_NAMED: Final = ("site-packages", "dist-packages")


class StandBy:
    """Keeps one runner ready; begin and end it inside the event loop.

    Args:
        start: starts a runner.
        pause: from a launch to the next one that stands by, unless its app ends earlier.
        calm: on top of that; who waited for the end of an app is served first.
        is_short: tells whether memory is; then none stands by.
    """

    def __init__(
        self,
        start: Callable[[], Awaitable[Child]],
        *,
        pause: timedelta = STAND_BY_PAUSE,
        calm: timedelta = STAND_BY_CALM,
        is_short: Callable[[], bool] = is_memory_short,
    ) -> None:
        self._start, self._is_short = start, is_short
        self._pause, self._calm = pause, calm
        self._ready: Child | None = None
        self._libraries: _Libraries = ()
        self._making: asyncio.Task[None] | None = None

    def prepare(self, after: Child | None = None) -> None:
        """Start one, unless there is one or soon will be; after the launch of another."""
        if self._making is None or self._making.done():
            self._making = asyncio.create_task(self._make(after))

    async def take(self) -> Child | None:
        """Return the one that is ready, None when there is none; it is the caller's from now on."""
        ready, self._ready = self._ready, None
        if ready is None or ready.has_exited:
            return None
        if self._libraries != _libraries():  # it may have imported what is no longer there
            await ready.stop(_AT_ONCE)
            return None
        return ready

    async def close(self) -> None:
        """End it."""
        if self._making is not None:
            self._making.cancel()
            await asyncio.gather(self._making, return_exceptions=True)
        if self._ready is not None:
            await self._ready.stop(_AT_ONCE)

    async def _make(self, after: Child | None) -> None:
        if after is not None:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._pause.total_seconds()):
                    await after.wait()
            await asyncio.sleep(self._calm.total_seconds())
        if self._is_short():
            return
        libraries = _libraries()
        try:
            self._ready = await self._start()
        except OSError as error:  # the next launch will say so to whom it concerns
            log.warning("No runner stands by", extra={"event": "stand-by", "cause": str(error)})
            return
        self._libraries = libraries
        log.debug("A runner stands by", extra={"event": "stand-by", "pid": self._ready.pid})


def _libraries() -> _Libraries:
    """Return when something was last installed, or removed, where installers put libraries."""
    return tuple((place, _changed_at(Path(place))) for place in sys.path if place.endswith(_NAMED))


def _changed_at(place: Path) -> int:
    try:
        return place.stat().st_mtime_ns
    except OSError:  # it is on the path, and not on the disk
        return 0
