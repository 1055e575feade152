"""Pieces are taken by a thread that goes on while more come, and nothing is lost when it fails."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from typing import ParamSpec, TypeVar

import pytest

from flwr.core.errors import InvalidError, UnavailableError
from flwr.core.ids import ObjectId
from flwr.core.limits import PIECES_AHEAD
from flwr.shell.in_thread import in_thread
from flwr.wire.bulk import pieces_of
from flwr.wire.codec.pieces import Piece
from flwr.wire.receiver import Assembly, Receiver
from tests.unit.wire.desk import Arriving, Content, Desk, id_of

P = ParamSpec("P")
T = TypeVar("T")

CONTENT = bytes(range(200))
STEP = 20


def pieces(content: bytes = CONTENT) -> list[Piece]:
    view = memoryview(content)
    return [Piece(0, len(content), at, view[at : at + STEP]) for at in range(0, len(content), STEP)]


class Counting:
    """Runs operations at once, and counts them."""

    def __init__(self) -> None:
        self.calls = 0

    async def __call__(self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        self.calls += 1
        await asyncio.sleep(0)
        return op(*args, **kwargs)


def test_many_pieces_need_few_hand_overs() -> None:
    run = Counting()

    async def receive() -> Desk:
        desk = Desk(wanted=[id_of(CONTENT)])
        receiver = Receiver(desk, run)
        for piece in pieces():
            await receiver.take(id_of(CONTENT), piece)
        await receiver.close()
        return desk

    assert asyncio.run(receive()).kept == {id_of(CONTENT): CONTENT}
    assert run.calls <= len(pieces()) // PIECES_AHEAD + 1  # with what closes it


def test_pieces_come_while_one_is_written_but_only_some() -> None:
    writing, written = threading.Event(), threading.Event()

    class Slow(Arriving):
        def write(self, piece: bytes | memoryview) -> None:
            writing.set()
            assert written.wait(10)
            super().write(piece)

    class SlowDesk(Desk):
        def begin(self, object_id: ObjectId, size: int) -> Arriving | None:
            return Slow(object_id, size)

    async def receive() -> tuple[int, list[bool]]:
        receiver, taken = Receiver(SlowDesk(), in_thread), 0

        async def take_all() -> None:
            nonlocal taken
            for piece in pieces():
                await receiver.take(id_of(CONTENT), piece)
                taken += 1

        taking = asyncio.create_task(take_all())
        await in_thread(writing.wait, 10)
        for _ in pieces() * 2:
            await asyncio.sleep(0)  # as often as it takes to take all, if that were possible
        ahead = taken
        written.set()
        await taking
        await receiver.close()
        return ahead, [one.is_stored for one in receiver.outcomes()]

    ahead, stored = asyncio.run(receive())
    assert 0 < ahead <= PIECES_AHEAD
    assert stored == [True]


def test_a_failure_is_told_once_and_what_follows_it_is_dropped() -> None:
    class Full(Desk):
        is_full = True

        def begin(self, object_id: ObjectId, size: int) -> Arriving | None:
            if self.is_full:
                raise UnavailableError("the disk is full")
            return super().begin(object_id, size)

    async def receive() -> Full:
        desk = Full(wanted=[id_of(CONTENT)])
        receiver = Receiver(desk, in_thread)
        first = pieces()[0]
        await receiver.take(id_of(CONTENT), first)
        with pytest.raises(UnavailableError, match="full"):
            await receiver.flush()
        desk.is_full = False
        assert receiver.received(id_of(CONTENT)) == 0
        for piece in pieces():
            await receiver.take(id_of(CONTENT), piece)
        await receiver.close()
        return desk

    assert asyncio.run(receive()).kept == {id_of(CONTENT): CONTENT}


def test_a_piece_in_the_wrong_place_is_told_and_what_was_complete_is_kept() -> None:
    async def receive() -> Desk:
        desk = Desk(wanted=[id_of(CONTENT), id_of(b"small")])
        receiver = Receiver(desk, in_thread)
        await receiver.take(id_of(b"small"), Piece(1, 5, 0, memoryview(b"small")))
        await receiver.take(id_of(CONTENT), pieces()[1])
        with pytest.raises(InvalidError, match="not the next one"):
            await receiver.close()
        return desk

    desk = asyncio.run(receive())
    assert desk.kept == {id_of(b"small"): b"small"}
    assert [one.is_abandoned for one in desk.begun] == [False, True]


def test_nothing_is_begun_once_it_is_closed() -> None:
    desk = Desk(wanted=[id_of(CONTENT)])
    assembly = Assembly(desk)
    assembly.close()
    assembly.take(id_of(CONTENT), pieces()[0])
    assert not desk.begun


@pytest.mark.parametrize("is_cached", [True, False])
def test_what_memory_has_is_read_without_a_thread(*, is_cached: bool) -> None:
    run = Counting()
    content = Content(CONTENT)
    content.is_cached = is_cached

    async def send(ids: Sequence[ObjectId]) -> int:
        return len([piece async for piece in pieces_of(ids, lambda _: content, run)])

    assert asyncio.run(send([id_of(CONTENT)])) == 1
    assert run.calls == (1 if is_cached else 2)  # to open it, and to read it
