"""The one place that acts because time passed: lapsed nodes and leases, expired instructions.

It sleeps until the next deadline in the store, or until somebody sets an earlier one.  When it
wakes much too late, or could not write for a while, this process was paused, starved or without
storage: the silence was ours, so everybody gets a full patience again and nobody is failed for it.
"""

import asyncio
import functools
import logging
from datetime import datetime, timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import UnavailableError
from flwr.core.limits import NODE_HEARTBEAT_MIN, NODE_PATIENCE
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.store.store import Store
from flwr.superlink import topics
from flwr.superlink.launches import Launches
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Nodes

logger = logging.getLogger(__name__)

_OVERSLEPT: Final = timedelta(seconds=5)  # later than this: we were not running
_MARGIN: Final = timedelta(milliseconds=20)  # so that the deadline has passed when we look
_LONGEST_SLEEP: Final = NODE_PATIENCE * NODE_HEARTBEAT_MIN  # so no node that is heard need wake it
_BATCH: Final = 500  # expired instructions per transaction
_RETRY: Final = timedelta(seconds=1)  # after a failed sweep: disk full, database away


class Reaper:
    """Sweeps what lapsed."""

    def __init__(
        self,
        store: Store,
        clock: Clock,
        *,
        nodes: Nodes,
        launches: Launches,
        messages: MessageExchange,
    ) -> None:
        self._store, self._clock = store, clock
        self._nodes, self._launches, self._messages = nodes, launches, messages
        self._due: datetime | None = None  # the next deadline the last sweep saw
        self._was_failing = False  # so were heartbeats, probably

    async def run(self, wakeups: Wakeups) -> None:
        """Sweep for ever."""
        until = self._clock.now()
        while True:
            try:
                await self._forgive_if_overslept(self._clock.now())
                pause = max(until - self._clock.now(), timedelta())
                attempt = functools.partial(self._sweep_before, until)
                await wakeups.until([topics.REAPER], attempt, timeout=pause)
                until = self._next_look()
            except Exception as error:
                # Whatever it is (a full disk, a database away), the sweep must come again.
                level = logging.WARNING if isinstance(error, UnavailableError) else logging.ERROR
                logger.log(
                    level,
                    "Sweep failed",
                    extra={"event": "sweep-failed", "cause": str(error)},
                    exc_info=level == logging.ERROR,
                )
                self._due, self._was_failing, until = None, True, self._clock.now()
                await asyncio.sleep(_RETRY.total_seconds())

    def sweep(self, now: datetime | None = None) -> datetime | None:
        """Act on everything that is due; return the next deadline, None when there is none.

        Args:
            now: when it was seen that nothing had paused us; a pause since then blames nobody.
        """
        now = now or self._clock.now()
        with self._store.reading() as tx:
            has_due = bool(
                tx.nodes.lapsed(now)
                or tx.leases.lapsed(now)
                or tx.messages.expired(now, 1)
                or tx.fabs.unused()
            )
        if has_due:
            self._reap(now)
        with self._store.reading() as tx:
            deadlines = (tx.nodes.next_lapse(), tx.leases.next_lapse(), tx.messages.next_expiry())
        return min((at for at in deadlines if at is not None), default=None)

    def forgive(self) -> None:
        """Give every node and every app process a full patience from now.

        Called at the start, for the time this program was down, and after a pause.
        """
        now = self._clock.now()
        with self._store.transaction() as tx:
            self._nodes.forgive(tx, now)
            self._launches.forgive(tx, now)

    def _reap(self, now: datetime) -> None:
        with self._store.transaction() as tx:
            for node in tx.nodes.lapsed(now):
                self._nodes.lapse(tx, node)
            for lease in tx.leases.lapsed(now):
                self._launches.lapse(tx, lease)
            self._messages.expire(tx, tx.messages.expired(now, _BATCH), now=now)
            tx.fabs.delete_unused()  # of runs that have finished since

    async def _sweep_before(self, until: datetime) -> bool | None:
        """Sweep; True when the next deadline comes before ``until``, so that we sleep anew."""
        now = self._clock.now()
        await self._forgive_if_overslept(now)
        self._due = await in_thread(self.sweep, now)
        return True if self._due is not None and self._due + _MARGIN < until else None

    async def _forgive_if_overslept(self, now: datetime) -> None:
        overslept = self._due is not None and now - self._due > _OVERSLEPT
        if not overslept and not self._was_failing:
            return
        logger.warning(
            "Woke too late; nobody is blamed for the silence",
            extra={"event": "overslept", "due": self._due, "was_failing": self._was_failing},
        )
        await in_thread(self.forgive)
        self._due, self._was_failing = None, False

    def _next_look(self) -> datetime:
        """Return when to sweep again: an instant, as a pause would move the end of what is left."""
        longest = self._clock.now() + _LONGEST_SLEEP
        return longest if self._due is None else min(self._due + _MARGIN, longest)
