import asyncio
import threading
from datetime import timedelta

from flwr.shell.wakeups import Wakeups

LONG = timedelta(seconds=20)


def test_a_ring_from_another_thread_wakes_the_waiter() -> None:
    async def scenario() -> str | None:
        wakeups, found = Wakeups(), list[str]()

        async def attempt() -> str | None:
            return found[0] if found else None

        def elsewhere() -> None:
            found.append("reply")
            wakeups.ring({"run:1"})

        waiting = asyncio.create_task(wakeups.until(["run:1"], attempt, timeout=LONG))
        await asyncio.sleep(0)
        threading.Thread(target=elsewhere).start()
        return await waiting

    assert asyncio.run(scenario()) == "reply"


def test_a_ring_during_the_attempt_is_not_lost() -> None:
    async def scenario() -> int | None:
        wakeups, tries = Wakeups(), []

        async def attempt() -> int | None:
            tries.append(1)
            if len(tries) == 1:
                wakeups.ring({"node:7"})
                return None
            return len(tries)

        return await wakeups.until(["node:7"], attempt, timeout=LONG)

    assert asyncio.run(scenario()) == 2


def test_a_wait_ends_empty_at_its_deadline() -> None:
    async def scenario() -> object:
        async def nothing() -> None:
            return None

        return await Wakeups().until(["x"], nothing, timeout=timedelta(milliseconds=20))

    assert asyncio.run(scenario()) is None


def test_closing_ends_every_wait_at_once() -> None:
    async def scenario() -> bool:
        wakeups = Wakeups()
        waiting = asyncio.create_task(wakeups.wait(["x"], None))
        await asyncio.sleep(0)
        wakeups.close()
        return await waiting

    assert asyncio.run(scenario()) is False


def test_an_unrelated_ring_wakes_nobody() -> None:
    async def scenario() -> bool:
        wakeups = Wakeups()
        waiting = asyncio.create_task(wakeups.wait(["mine"], timedelta(milliseconds=30)))
        await asyncio.sleep(0)
        wakeups.ring({"yours"})
        return await waiting

    assert asyncio.run(scenario()) is False


def test_an_attempt_is_told_what_has_rung_since_the_one_before() -> None:
    async def scenario() -> list[set[str]]:
        wakeups, told = Wakeups(), list[set[str]]()

        async def attempt(rung: set[str]) -> bool | None:
            told.append(rung)
            if len(told) == 1:
                wakeups.ring({"a", "b", "other"})
            elif len(told) == 2:
                wakeups.ring({"b"})
            return True if len(told) == 3 else None

        await wakeups.until_told(["a", "b"], attempt, timeout=LONG)
        return told

    assert asyncio.run(scenario()) == [set(), {"a", "b"}, {"b"}]
