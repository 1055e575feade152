"""Confirmations of a line: the disk is waited for only by what is not answered soon."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest

from flwr.core.errors import UnavailableError
from flwr.core.ids import MessageId
from flwr.wire.clients import confirming
from flwr.wire.clients.confirming import Confirmations

ONE, TWO = MessageId("one"), MessageId("two")


class Disk:
    """What is secured, and then said."""

    def __init__(self) -> None:
        self.times = 0
        self.failures = 0
        self.meanwhile: Callable[[], None] = lambda: None
        self.said: list[MessageId] = []
        self.heard = asyncio.Event()

    async def secure(self) -> None:
        self.times += 1
        await asyncio.sleep(0)
        self.meanwhile()
        if self.failures:
            self.failures -= 1
            raise UnavailableError("the disk failed")

    def say(self, message_ids: Sequence[MessageId]) -> None:
        self.said += message_ids
        self.heard.set()


def played(scene: Callable[[Disk, Confirmations], Awaitable[None]]) -> Disk:
    async def play() -> Disk:
        disk = Disk()
        open_ones = Confirmations(disk.secure, disk.say)
        try:
            async with asyncio.timeout(60):
                await scene(disk, open_ones)
        finally:
            open_ones.close()
        return disk

    return asyncio.run(play())


@pytest.fixture
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_AFTER_S", 0.0)


@pytest.mark.usefixtures("at_once")
def test_what_waits_is_secured_together_and_then_said() -> None:
    async def scene(disk: Disk, open_ones: Confirmations) -> None:
        disk.meanwhile = lambda: disk.said.append(MessageId("secured"))
        open_ones.add([ONE, TWO])
        await disk.heard.wait()

    disk = played(scene)
    assert (disk.times, disk.said) == (1, ["secured", ONE, TWO])


def test_what_is_answered_in_time_waits_for_no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(confirming, "_AFTER_S", 0.01)

    async def scene(_disk: Disk, open_ones: Confirmations) -> None:
        open_ones.add([ONE])
        open_ones.forget(ONE)
        await asyncio.sleep(0.05)

    disk = played(scene)
    assert (disk.times, disk.said) == (0, [])


@pytest.mark.usefixtures("at_once")
def test_what_is_answered_while_the_disk_is_waited_for_is_not_said() -> None:
    async def scene(disk: Disk, open_ones: Confirmations) -> None:
        disk.meanwhile = lambda: open_ones.forget(ONE)
        open_ones.add([ONE, TWO])
        await disk.heard.wait()

    assert played(scene).said == [TWO]


@pytest.mark.usefixtures("at_once")
def test_what_could_not_be_secured_is_said_later() -> None:
    async def scene(disk: Disk, open_ones: Confirmations) -> None:
        disk.failures = 1
        open_ones.add([ONE])
        await disk.heard.wait()

    disk = played(scene)
    assert (disk.times, disk.said) == (2, [ONE])


def test_a_line_that_ends_leaves_what_it_has_not_said_to_others() -> None:
    async def scene(_disk: Disk, open_ones: Confirmations) -> None:
        open_ones.add([ONE, TWO])
        open_ones.forget(TWO)
        assert open_ones.close() == [ONE]

    assert played(scene).said == []
