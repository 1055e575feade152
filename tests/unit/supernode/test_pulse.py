"""Which signs of life a node sends, and when."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from flwr.core.errors import UnavailableError
from flwr.supernode.pulse import Pulse
from flwr.wire.clients.fleet import Pulled
from tests.fakes.clock import FakeClock

INTERVAL = timedelta(seconds=30)
Pull = Callable[[], Awaitable[Pulled]]


class Node:
    """A node's pulse, with time that passes by itself."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.pulse = Pulse(self.clock, INTERVAL)

    def rest_s(self) -> float:
        return self.pulse._rest().total_seconds()

    def pull(self, held_s: float, *, counts: bool = True, seen: list[float] | None = None) -> None:
        async def held() -> Pulled:
            if seen is not None:
                seen.append(self.rest_s())
            self.clock.advance(timedelta(seconds=held_s))
            return Pulled((), None, is_heartbeat=counts)

        asyncio.run(self._during(held))

    async def _during(self, pull: Pull) -> None:
        await self.pulse.during(pull)


def test_without_pulls_a_heartbeat_is_due_as_upstreams_nodes_send_it() -> None:
    node = Node()
    assert 17.5 <= node.rest_s() <= 22.5
    node.clock.advance(timedelta(seconds=23))
    assert node.rest_s() < 0


def test_a_pull_of_a_server_that_does_not_count_it_puts_nothing_off() -> None:
    node = Node()
    node.pull(20, counts=False)
    assert node.rest_s() <= 2.5


def test_while_pulls_that_count_follow_each_other_no_heartbeat_is_due() -> None:
    node, seen = Node(), list[float]()
    for _ in range(5):
        node.pull(25, seen=seen)
    assert seen[1:] == [27.5] * 4  # when each began; it ends 2.5 s before
    node.clock.advance(timedelta(seconds=1))
    assert node.rest_s() < 0  # nobody pulls: heard 26 s ago


def test_a_held_pull_that_does_not_end_is_not_trusted_for_ever() -> None:
    node, seen = Node(), list[float]()
    node.pull(25)

    async def stuck() -> Pulled:
        node.clock.advance(timedelta(seconds=28))
        seen.append(node.rest_s())
        return Pulled((), None, is_heartbeat=True)

    asyncio.run(node._during(stuck))
    assert seen[0] < 0


def test_a_pull_that_failed_was_no_sign_of_life() -> None:
    node = Node()
    node.pull(25)
    node.pull(10)

    async def refused() -> Pulled:
        raise UnavailableError("gone")

    node.clock.advance(timedelta(seconds=5))
    with pytest.raises(UnavailableError):
        asyncio.run(node._during(refused))
    assert node.rest_s() <= 7.5  # counted from the pull before, 15 s ago
    node.pulse.restart()
    assert node.rest_s() >= 17.5


def test_what_was_sent_during_a_pull_that_fails_counts() -> None:
    node = Node()
    node.pull(25)

    async def refused() -> Pulled:
        node.clock.advance(timedelta(seconds=26))
        node.pulse.restart()
        raise UnavailableError("gone")

    with pytest.raises(UnavailableError):
        asyncio.run(node._during(refused))
    assert node.rest_s() >= 17.5


def test_waiting_ends_when_it_is_due() -> None:
    async def body() -> None:
        clock = FakeClock()
        pulse = Pulse(clock, INTERVAL)
        clock.advance(timedelta(seconds=23))
        await asyncio.wait_for(pulse.until_due(), timeout=15)
        assert pulse._rest() > timedelta(seconds=17)

    asyncio.run(body())
