"""Launches that need no waiting room: what arrives while an executor waits is handed to it.

Only one thread, the event loop's, moves what is here, so that a launch reaches exactly one call.
"""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final

from flwr.core.app_choice import AppChoice
from flwr.shell.in_thread import in_thread, threaded
from flwr.shell.returning import Returning
from flwr.shell.wakeups import Wakeups
from flwr.supernode.launches import WholeLaunch, WholeLaunches

_BELL: Final = "apps"


@dataclass(slots=True, eq=False)
class Waiter:
    """One call of an executor that is held until there is something to launch."""

    choice: AppChoice  # the apps it launches
    bundles: Collection[str]  # hashes of those it has
    launch: WholeLaunch | None = None  # granted for it, not picked up yet
    is_lent: bool = False
    is_gone: bool = False

    def pick_up(self) -> WholeLaunch | None:
        """Return what was granted for it, once."""
        launch, self.launch = self.launch, None
        return launch


class Handover:
    """The executors that wait, lent to whoever stores instructions."""

    def __init__(self, launches: WholeLaunches, wakeups: Wakeups) -> None:
        self._launches, self._wakeups = launches, wakeups
        self._free: dict[Waiter, None] = {}  # in the order they came
        self._returning = Returning()
        self._tasks: set[asyncio.Task[None]] = set()

    def lend(self) -> Sequence[Waiter]:
        """Return the waiters of this moment; until ``settle`` they look for nothing themselves."""
        lent, self._free = list(self._free), {}
        for waiter in lent:
            waiter.is_lent = True
        return lent

    def settle(self, lent: Sequence[Waiter], launches: Mapping[Waiter, WholeLaunch]) -> None:
        """Take lent waiters back, some with a launch that was granted for them."""
        for waiter in lent:
            waiter.is_lent = False
            waiter.launch = launches.get(waiter)
            if waiter.is_gone:
                self._give_back(waiter)
            elif waiter.launch is None:
                self._free[waiter] = None
        if lent:
            self._wakeups.ring({_BELL})

    def enter(self, choice: AppChoice, bundles: Collection[str]) -> Waiter:
        """Note a call that waits; it must ``leave``."""
        return Waiter(choice, bundles)

    async def look(self, waiter: Waiter) -> WholeLaunch | None:
        """Return a launch for a waiter if there is one now; call it again after the next ring."""
        if waiter.is_lent:
            return None  # it is rung for when it is settled
        if (launch := waiter.pick_up()) is not None:
            return launch
        self._free.pop(waiter, None)
        if not self._launches.knows_none_waits():
            taking = in_thread(self._launches.take, waiter.choice, waiter.bundles)
            launch = await self._returning.take(taking, threaded(self._launches.take_back))
        if launch is None:
            self._free[waiter] = None
        return launch

    def leave(self, waiter: Waiter) -> None:
        """Note that a call is over; what it did not pick up waits for another one."""
        waiter.is_gone = True
        self._free.pop(waiter, None)
        self._give_back(waiter)

    def _give_back(self, waiter: Waiter) -> None:
        if (launch := waiter.pick_up()) is not None:
            work = partial(self._launches.take_back, launch)
            task = asyncio.get_running_loop().create_task(in_thread(work), name="take-back")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
