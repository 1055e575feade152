"""Where operations run: on the loop while that is quick, else in a thread."""

import asyncio
import threading
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, Final, ParamSpec, TypeVar

import pytest

from flwr.shell.in_thread import AtOnce, call_soon, in_thread
from tests.fakes.handovers import handed_over

P = ParamSpec("P")
T = TypeVar("T")
WRITES: Final = "writes"

_caller: ContextVar[str] = ContextVar("caller", default="nobody")


def where() -> tuple[int, str]:
    return threading.get_ident(), _caller.get()


def fail() -> None:
    raise LookupError("no")


class Ledger:
    """A store whose operations write when they return ``WRITES``."""

    def __init__(self, *, is_quick: bool = True, settles_quickly: bool = False) -> None:
        self.is_quick, self.settles_quickly = is_quick, settles_quickly
        self.commits = self.settled = self.waits = 0
        self.may_settle = threading.Event()
        self.fails, self.is_urgent = False, True
        self.asked = 0

    def postponed(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> tuple[T, int]:
        self.commits += (result := op(*args, **kwargs)) == WRITES
        return result, self.commits if result == WRITES else 0

    def is_settled(self, commit: int) -> bool:
        self.asked += 1
        assert self.asked < 20_000, "the loop goes round and round in one place"
        return commit <= self.settled

    def settle(self) -> None:
        reached = self.commits
        self.waits += 1
        assert self.settles_quickly or self.may_settle.wait(60)
        if self.fails:
            raise OSError("the disk")
        self.settled = reached


@pytest.mark.parametrize("is_quick", [True, False])
def test_an_operation_runs_here_only_while_that_is_quick(is_quick: bool) -> None:
    async def body() -> None:
        _caller.set("me")
        at_once = AtOnce(Ledger(is_quick=is_quick))
        with handed_over() as names:
            thread, caller = await at_once(where)
            assert caller == "me"
            assert (thread == threading.get_ident()) is is_quick
            with pytest.raises(LookupError):
                await at_once(fail)
        assert names == ([] if is_quick else ["where", "fail"])

    asyncio.run(body())


@pytest.mark.row("F6")
def test_who_wrote_is_answered_when_the_disk_has_it_and_those_together_wait_once() -> None:
    async def body() -> None:
        ledger = Ledger()
        at_once = AtOnce(ledger)
        with handed_over() as names:
            writers = [asyncio.ensure_future(at_once(str, WRITES)) for _ in range(2)]
            while not ledger.waits:  # noqa: ASYNC110 - a thread
                await asyncio.sleep(0.001)
            writers += [asyncio.ensure_future(at_once(str, WRITES)) for _ in range(5)]
            assert await at_once(str, "reads") == "reads", "who only reads waits for nothing"
            await asyncio.sleep(0.01)
            assert not any(writer.done() for writer in writers)
            writers[0].cancel()
            ledger.may_settle.set()
            await asyncio.gather(*writers[1:])
        assert ledger.settled == 7
        assert (ledger.waits, names) == (2, ["Ledger.settle"] * 2), "the first, then all others"

    asyncio.run(body())


def test_commits_that_nobody_else_waits_for_are_gathered() -> None:
    async def body() -> None:
        ledger = Ledger()
        ledger.is_urgent = False
        ledger.may_settle.set()
        at_once = AtOnce(ledger)
        await asyncio.gather(*(at_once(str, WRITES) for _ in range(9)))
        assert (ledger.settled, ledger.waits) == (9, 1)

    asyncio.run(body())


def test_who_writes_while_a_wait_ends_waits_for_the_next_one() -> None:
    async def body() -> None:
        ledger = Ledger()
        ledger.may_settle.set()
        at_once = AtOnce(ledger)
        writers = []
        for _ in range(500):  # one in each turn of the loop, also of those in which waits end
            writers.append(asyncio.ensure_future(at_once(str, WRITES)))
            await asyncio.sleep(0)
        await asyncio.gather(*writers)
        assert ledger.settled == 500

    asyncio.run(body())


def test_a_disk_that_is_quick_is_waited_for_here() -> None:
    async def body() -> None:
        ledger = Ledger(settles_quickly=True)
        with handed_over() as names:
            await AtOnce(ledger)(str, WRITES)
        assert (ledger.settled, names) == (1, [])

    asyncio.run(body())


def test_who_wrote_hears_that_the_disk_failed() -> None:
    async def body() -> None:
        ledger = Ledger()
        ledger.fails = True
        ledger.may_settle.set()
        at_once = AtOnce(ledger)
        with pytest.raises(OSError, match="the disk"):
            await at_once(str, WRITES)
        ledger.fails = False
        await at_once(str, WRITES)

    asyncio.run(body())


def test_the_loop_wakes_itself_for_other_threads_only(monkeypatch: pytest.MonkeyPatch) -> None:
    async def body() -> None:
        loop = asyncio.get_running_loop()
        woken: list[object] = []
        heard: list[str] = []
        real = loop.call_soon_threadsafe

        def wake(
            callback: Callable[..., object], *args: Any, context: Any = None
        ) -> asyncio.Handle:
            if callback == heard.append:
                woken.append(args)
            return real(callback, *args, context=context)

        monkeypatch.setattr(loop, "call_soon_threadsafe", wake)
        call_soon(loop, heard.append, "mine")
        await in_thread(call_soon, loop, heard.append, "theirs")
        await asyncio.sleep(0)
        assert heard == ["mine", "theirs"]
        assert woken == [("theirs",)]

    asyncio.run(body())


def test_a_loop_that_has_ended_is_left_alone() -> None:
    loop = asyncio.new_event_loop()
    loop.close()
    call_soon(loop, pytest.fail, "nobody runs it")
