"""What happens by itself: deadlines are kept, ended runs are noticed, apps are launched."""

import asyncio
import logging
from datetime import timedelta
from typing import Final

from flwr.core.clock import Clock
from flwr.core.errors import FlwrError
from flwr.core.ids import RunId
from flwr.core.limits import LONG_POLL, NODE_REAPS_EVERY
from flwr.shell.in_thread import in_thread
from flwr.shell.superexec import SuperExecKeeper
from flwr.shell.wakeups import Wakeups
from flwr.supernode.fleet import FATAL, FleetSession
from flwr.supernode.inbox import Inbox
from flwr.supernode.leases import AppLeases
from flwr.supernode.runs import RUN_OVER, RunBook

logger = logging.getLogger(__name__)

ASK_PERIOD: Final = timedelta(seconds=10)  # runs that have an app now
ASK_ALL_EVERY: Final = 30  # periods: runs that only have a context, kept until their end
_FRESH: Final = LONG_POLL + timedelta(seconds=10)  # the server's word on ended runs is this young
_STORAGE_PAUSE: Final = timedelta(seconds=1)  # until a full disk is looked at again
_LATE: Final = timedelta(seconds=5)  # waking later than that, it was this node that was away


class Reaper:
    """Ends what has run out of time, at that time.

    It looks at least every NODE_REAPS_EVERY, so only deadlines that are nearer ring its bell.
    """

    def __init__(self, leases: AppLeases, wakeups: Wakeups, clock: Clock) -> None:
        self._leases, self._wakeups, self._clock = leases, wakeups, clock

    async def run(self) -> None:
        """Keep deadlines until cancelled."""
        was_away = False
        while True:
            try:
                if was_away:
                    # The machine slept, or nothing could be written: no app is to blame for it.
                    await in_thread(self._leases.renew_all)
                pause, was_away = min(await self.reap_once(), NODE_REAPS_EVERY), False
            except Exception:
                # Whatever it is (a full disk, a bug), deadlines must be kept again.
                logger.exception("Cannot keep deadlines now", extra={"event": "reap-failed"})
                pause, was_away = _STORAGE_PAUSE, True
            planned = self._clock.now() + pause
            await self._wakeups.wait({"reaper"}, pause)
            was_away = was_away or self._clock.now() - planned > _LATE

    async def reap_once(self) -> timedelta:
        """Reap; return how long until the next deadline."""
        deadline = await in_thread(self._leases.reap)
        if deadline is None:
            return timedelta.max
        return max(deadline - self._clock.now(), timedelta(milliseconds=10))


class EndedRuns:
    """Asks for runs that have an app, where the SuperLink does not say by itself that they ended.

    Upstream's nodes learn of a stopped run only when they next use it (wire contract §19 no. 19).
    """

    def __init__(self, session: FleetSession, runs: RunBook, inbox: Inbox) -> None:
        self._session, self._runs, self._inbox = session, runs, inbox

    async def run(self) -> None:
        """Ask every ``ASK_PERIOD`` until cancelled."""
        period = 0
        while True:
            await asyncio.sleep(ASK_PERIOD.total_seconds())
            period += 1
            if self._inbox.was_told_within(_FRESH):
                continue
            try:
                await self.ask(everything=period % ASK_ALL_EVERY == 0)
            except FATAL:
                raise
            except FlwrError as error:  # our own storage; the next period asks again
                logger.warning(
                    "Cannot look after ended runs now",
                    extra={"event": "storage", "cause": error.message},
                )

    async def ask(self, *, everything: bool = False) -> None:
        """Ask for each run once and end those that are not running."""
        named = self._runs.live if everything else self._runs.with_apps
        for run_id in await in_thread(named):
            await self._ask_for(run_id)

    async def _ask_for(self, run_id: RunId) -> None:
        try:
            await self._session.attempt(self._session.fleet.get_run, run_id)
        except FATAL:
            raise
        except FlwrError as error:
            if error.kind in RUN_OVER:
                await in_thread(self._runs.end, [run_id], why=error.message)
                return
            logger.warning(
                "Cannot ask for a run",
                extra={"event": "run-asked", "run_id": run_id, "cause": error.message},
            )


async def launch_apps(superexec: SuperExecKeeper, leases: AppLeases) -> None:
    """Have apps launched until cancelled; ClientApps end with their SuperExec, so do leases."""
    await in_thread(leases.revoke_all, "the node was started anew")
    try:
        await superexec.run()
    finally:
        await asyncio.shield(in_thread(leases.revoke_all, "the node is stopping"))
