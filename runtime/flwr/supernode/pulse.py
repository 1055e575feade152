"""When the SuperLink heard this node last, and when it must hear it again (wire contract §10).

A SuperLink of ours takes a held pull for a heartbeat, and says so.  While such pulls follow each
other the node needs no other sign of life; when one is late, or fails, heartbeats are sent again.
"""

import asyncio
import random
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.wire.clients.fleet import Pulled

_LEAD: Final = timedelta(seconds=5)  # before the announced interval is over (§10)


class Pulse:
    """Follows the calls that are signs of life."""

    def __init__(self, clock: Clock, interval: timedelta) -> None:
        """Begin as a node that was heard just now.

        Args:
            clock: time.
            interval: the interval that is announced.
        """
        self._clock, self._interval = clock, interval
        self._lead = min(_LEAD, interval / 2)
        self._pulls_count = False  # as far as we know
        self._is_pulling = False
        self.restart()

    def restart(self) -> None:
        """Count from now on: the SuperLink hears us at this moment, or was tried to be told."""
        self._heard_at = self._clock.monotonic()
        self._spread = random.uniform(0.7, 0.9)  # noqa: S311 - spreads load, hides nothing

    async def during(self, pull: Callable[[], Awaitable[Pulled]]) -> Pulled:
        """Make one pull; where pulls are heartbeats, the SuperLink hears us when it begins."""
        before, began = self._heard_at, self._clock.monotonic()
        if self._pulls_count:
            self._heard_at = began
        self._is_pulling = True
        try:
            pulled = await pull()
        except BaseException:
            if self._heard_at == began:  # perhaps it never arrived
                self._heard_at = before
            raise
        finally:
            self._is_pulling = False
        self._pulls_count = pulled.is_heartbeat
        if pulled.is_heartbeat:
            self._heard_at = max(self._heard_at, began)
        return pulled

    async def until_due(self) -> None:
        """Return when a heartbeat must be sent, which pulls put off; the next interval begins."""
        while (rest := self._rest()) > timedelta():  # noqa: ASYNC110 - it waits for a time
            await asyncio.sleep(rest.total_seconds())  # until then; a pull may have moved it
        self.restart()

    def _rest(self) -> timedelta:
        if self._pulls_count and self._is_pulling:
            # The pull ends before this, unless something is wrong: then there is time for one more.
            pause = self._interval - self._lead / 2
        else:
            pause = (self._interval - self._lead) * self._spread
        return pause - timedelta(seconds=self._clock.monotonic() - self._heard_at)
