"""Executors that wait for something to launch: their calls are held, whichever call it is."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from flwr.core.app_choice import AppChoice
from flwr.core.ids import RunId
from flwr.core.limits import LONG_POLL
from flwr.shell.executors import Executors
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.supernode.leases import AppLeases

logger = logging.getLogger(__name__)

T = TypeVar("T")


class WaitingExecutors:
    """Holds the calls of executors, and says when a run waits for one that is not there."""

    def __init__(self, leases: AppLeases, wakeups: Wakeups, executors: Executors) -> None:
        self._leases, self._wakeups, self._executors = leases, wakeups, executors
        self._said: set[RunId] = set()  # to wait for an executor of another app

    async def until(
        self, choice: AppChoice, attempt: Callable[[], Awaitable[T | None]]
    ) -> T | None:
        """Return what ``attempt`` first does, None when the call was held long enough.

        Args:
            choice: the apps the caller launches.
            attempt: made whenever there may be something to launch.
        """
        with self._executors.asking(choice):
            return await self._wakeups.until({"apps"}, attempt, timeout=LONG_POLL)

    async def say_what_waits(self) -> None:
        """Log runs that no executor serves, once each; call it after a hold."""
        served = self._executors.served()
        if served is None or served.fab_ids is None:
            return
        waiting = await in_thread(self._leases.unserved, served)
        for run_id in waiting.keys() - self._said:
            logger.warning(
                "A run waits for an executor that serves its app",
                extra={
                    "event": "app-unserved",
                    "run_id": run_id,
                    "app": waiting[run_id],
                    "served": str(served),
                    "remedy": f"start a SuperExec with --only-apps {waiting[run_id]}",
                },
            )
        self._said = set(waiting)
