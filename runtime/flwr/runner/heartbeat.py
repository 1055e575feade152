"""Keeping the launch's lease alive, and noticing when it is dead."""

import asyncio
import logging
from datetime import timedelta
from enum import StrEnum
from typing import Final, Protocol

from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind, FlwrError
from flwr.core.limits import APP_HEARTBEAT, CONTACT_LOST

log = logging.getLogger(__name__)

_REFUSALS: Final = frozenset({ErrorKind.UNAUTHENTICATED, ErrorKind.NOT_RUNNING})


class LeaseEnd(StrEnum):
    """Why the lease is gone."""

    REVOKED = "revoked"  # the run ended, or the lease lapsed
    CONTACT_LOST = "contact-lost"  # nobody answered for limits.CONTACT_LOST


class Heartbeats(Protocol):
    """What is needed of the daemon."""

    async def heartbeat(self, *, next_in: timedelta) -> bool:
        """Renew the lease; False: it is dead."""
        ...


class Lease:
    """A lease that is kept until it is closed, or dead.

    Args:
        daemon: whom it is from.
        clock: time.
        first: how long to wait before the first heartbeat: what ends before that needs none.
    """

    def __init__(
        self, daemon: Heartbeats, clock: Clock, *, first: timedelta = timedelta(0)
    ) -> None:
        loop = asyncio.get_running_loop()
        self._daemon, self._clock = daemon, clock
        self._keeping: asyncio.Task[LeaseEnd] | None = None
        self._timer = loop.call_later(first.total_seconds(), self._keep)
        self.end: asyncio.Future[LeaseEnd] = loop.create_future()
        """Why there is no lease to keep any more."""

    async def close(self) -> None:
        """Keep it no longer."""
        self._timer.cancel()
        self.end.cancel()
        if self._keeping is not None:
            self._keeping.cancel()
            await asyncio.wait([self._keeping])

    def _keep(self) -> None:
        self._keeping = asyncio.create_task(keep_lease(self._daemon, self._clock))
        self._keeping.add_done_callback(self._tell)

    def _tell(self, kept: "asyncio.Task[LeaseEnd]") -> None:
        if self.end.done() or kept.cancelled():
            return
        if (bug := kept.exception()) is not None:
            self.end.set_exception(bug)
        else:
            self.end.set_result(kept.result())


async def keep_lease(daemon: Heartbeats, clock: Clock) -> LeaseEnd:
    """Send a heartbeat every ``APP_HEARTBEAT``; return when there is no lease to keep any more.

    Args:
        daemon: whom the lease is from.
        clock: time.
    """
    heard_at = clock.monotonic()
    while True:
        try:
            if not await daemon.heartbeat(next_in=APP_HEARTBEAT):
                return LeaseEnd.REVOKED
            heard_at = clock.monotonic()
        except FlwrError as error:
            if error.kind in _REFUSALS:
                return LeaseEnd.REVOKED
            log.debug("Heartbeat failed", extra={"cause": str(error)})
            if timedelta(seconds=clock.monotonic() - heard_at) > CONTACT_LOST:
                return LeaseEnd.CONTACT_LOST
        await asyncio.sleep(APP_HEARTBEAT.total_seconds())
