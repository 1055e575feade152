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


async def keep_lease(
    daemon: Heartbeats, clock: Clock, *, first: timedelta = timedelta(0)
) -> LeaseEnd:
    """Send a heartbeat every ``APP_HEARTBEAT``; return when there is no lease to keep any more.

    Args:
        daemon: whom the lease is from.
        clock: time.
        first: how long to wait before the first one: what ends before that needs none.
    """
    heard_at = clock.monotonic()
    await asyncio.sleep(first.total_seconds())
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
