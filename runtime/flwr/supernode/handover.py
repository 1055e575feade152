"""Executors that wait for a launch, and who gets which: what arrives is handed over, not fetched.

Only one thread, the event loop's, moves what is here, so that a launch reaches exactly one call.
"""

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from flwr.core.app_choice import AppChoice
from flwr.core.limits import LONG_POLL
from flwr.shell.executors import Executors
from flwr.shell.in_thread import in_thread
from flwr.shell.wakeups import Wakeups
from flwr.supernode.launches import WholeLaunch, WholeLaunches

_BELL: Final = "apps"

Outcome = WholeLaunch | Exception | None
"""A launch; why there is none; or none came for as long as calls are held."""
Answer = Callable[[Outcome], bool]
"""Called once; False: nobody is there any more, and a launch goes back."""


@dataclass(slots=True, eq=False)
class Waiter:
    """One call of an executor that is held until there is something to launch."""

    choice: AppChoice  # the apps it launches
    bundles: Collection[str]  # hashes of those it has
    answer: Answer
    deadline: asyncio.TimerHandle | None = None  # None: it has passed
    is_over: bool = False


class Handover:
    """The executors that wait, lent to whoever stores instructions.

    Args:
        launches: where to look for what was stored for nobody.
        wakeups: tell when it is worth a look.
        executors: told who asks.
    """

    def __init__(self, launches: WholeLaunches, wakeups: Wakeups, executors: Executors) -> None:
        self._launches, self._wakeups, self.executors = launches, wakeups, executors
        self._free: dict[Waiter, None] = {}  # in the order they came
        self._is_rung = False
        self._looking: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        wakeups.call({_BELL}, self._ring)

    def enter(self, choice: AppChoice, bundles: Collection[str], answer: Answer) -> Waiter:
        """Note a call that waits; it is answered once, unless it leaves before."""
        waiter = Waiter(choice, bundles, answer)
        loop = asyncio.get_running_loop()
        waiter.deadline = loop.call_later(LONG_POLL.total_seconds(), self._expire, waiter)
        self.executors.begin(choice)
        self._free[waiter] = None
        self._ring()
        return waiter

    def leave(self, waiter: Waiter) -> None:
        """Note that a call is over; what is granted for it waits for another one."""
        self._free.pop(waiter, None)
        self._end(waiter)

    async def wait(self, choice: AppChoice, bundles: Collection[str]) -> WholeLaunch | None:
        """Enter, and return the answer.

        Raises:
            FlwrError: the store cannot be asked.
        """
        answered: asyncio.Future[Outcome] = asyncio.get_running_loop().create_future()

        def answer(outcome: Outcome) -> bool:
            if is_there := not answered.done():
                answered.set_result(outcome)
            return is_there

        waiter = self.enter(choice, bundles, answer)
        try:
            outcome = await answered
        except asyncio.CancelledError:
            self.leave(waiter)
            if not answered.cancelled():  # it came as we went
                self._give_back(answered.result())
            raise
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def lend(self) -> Sequence[Waiter]:
        """Return the waiters of this moment; until ``settle`` nothing is looked for for them."""
        lent, self._free = list(self._free), {}
        return lent

    def settle(self, lent: Sequence[Waiter], launches: Mapping[Waiter, WholeLaunch]) -> None:
        """Take lent waiters back, some with a launch that was granted for them."""
        for waiter in lent:
            self._take_back(waiter, launches.get(waiter))
        if self._free:
            self._ring()  # it was not heard while they were lent

    def _take_back(self, waiter: Waiter, outcome: Outcome) -> None:
        if outcome is not None or waiter.deadline is None:
            self._answer(waiter, outcome)
        elif not waiter.is_over:
            self._free[waiter] = None

    def _answer(self, waiter: Waiter, outcome: Outcome) -> None:
        if waiter.is_over or not waiter.answer(outcome):
            self._give_back(outcome)
        self._end(waiter)

    def _end(self, waiter: Waiter) -> None:
        if waiter.is_over:
            return
        waiter.is_over = True
        self.executors.end(waiter.choice)
        if waiter.deadline is not None:
            waiter.deadline.cancel()

    def _expire(self, waiter: Waiter) -> None:
        waiter.deadline = None
        if waiter in self._free:
            del self._free[waiter]
            self._answer(waiter, None)

    def _give_back(self, outcome: Outcome) -> None:
        if isinstance(outcome, WholeLaunch):
            self._begin(in_thread(self._launches.take_back, outcome), "take-back")

    def _ring(self) -> None:
        """Have somebody look, unless it is known that there is nothing."""
        if self._wakeups.is_closed:
            for waiter in self.lend():
                self._answer(waiter, None)
        elif self._looking is not None:
            self._is_rung = True
        elif self._free and not self._launches.knows_none_waits():
            self._looking = self._begin(self._look(), "look-for-launches")

    async def _look(self) -> None:
        try:
            self._is_rung = True
            while self._is_rung and self._free:
                self._is_rung = False
                await self._look_once()
        finally:
            self._looking = None
            if self._wakeups.is_closed:
                self._ring()  # for whom it was looked just now

    async def _look_once(self) -> None:
        """Look for each that waits, in the order they came."""
        for waiter in tuple(self._free):
            if self._launches.knows_none_waits():
                return
            if waiter not in self._free:  # gone, or lent
                continue
            del self._free[waiter]
            outcome: Outcome = None
            try:
                take = partial(self._launches.take, waiter.choice, waiter.bundles)
                outcome = await in_thread(take)
            except Exception as error:  # noqa: BLE001 - whoever waits is told
                outcome = error
            finally:
                self._take_back(waiter, outcome)

    def _begin(self, work: Coroutine[Any, Any, None], name: str) -> "asyncio.Task[None]":
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task
