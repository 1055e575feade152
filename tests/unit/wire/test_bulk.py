"""Objects in pieces between a client and a server: bounded, resumed, and wrong ones refused."""

import asyncio
import threading
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import timedelta
from functools import wraps
from typing import Any, ParamSpec

import pytest

from flwr.core.errors import FlwrError, InvalidError, UnimplementedError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.limits import HATCH_PIECE_BYTES, PIECE_BYTES, STORED_AT_ONCE_BYTES
from flwr.core.settling import Settling
from flwr.shell.in_thread import in_thread
from flwr.wire.bulk import NODE_BULK, Readable, pieces_of, take_in
from flwr.wire.bulk_server import BulkServicer
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.bulk import BulkClient
from flwr.wire.codec.pieces import Absence, Piece, Wanted, encode_piece
from flwr.wire.interceptors.guarding import Guard, ServiceGuard
from flwr.wire.receiver import Receiver
from flwr.wire.server import RpcServer, chain, make_server
from tests.unit.wire.desk import Arriving, Content, Desk, id_of

P = ParamSpec("P")

NODE, RUN = NodeId(5), RunId(7)
LARGE = bytes(range(256)) * (3 * PIECE_BYTES // 256) + b"the end"
SMALL = b"small"
SOON = Settling(timedelta(milliseconds=50), timedelta(milliseconds=50))
CONTENTS = {id_of(LARGE): lambda: Content(LARGE), id_of(SMALL): lambda: Content(SMALL)}


def in_loop(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Run a test in an event loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        asyncio.run(test(*args, **kwargs))

    return run


class ProvesTheFirst(ServiceGuard):
    """Notes what it was shown, and refuses a run it does not know."""

    services = (NODE_BULK,)

    def __init__(self) -> None:
        self.shown: list[tuple[str, int]] = []

    def guard_of(self, method: str) -> Guard:
        async def check(request: object, _rpc: object, _raw: bytes) -> None:
            run_id: int = request.run_id  # type: ignore[attr-defined]
            self.shown.append((method.rpartition("/")[2], run_id))
            if run_id != RUN:
                raise InvalidError("not your run")

        return check


@asynccontextmanager
async def served(
    desk: Desk, guard: ProvesTheFirst | None = None, settling: Settling | None = None
) -> AsyncIterator[BulkClient]:
    servicer = BulkServicer(NODE_BULK, lambda _node, _run: desk, in_thread, settling=settling)
    server: RpcServer = make_server(
        "127.0.0.1:0",
        services=[servicer.register],
        tls=None,
        interceptors=chain(guard or ProvesTheFirst()),
    )
    await server.start()
    try:
        async with open_aio_channel(server.address, None) as channel:
            yield BulkClient(channel, lambda _method, _first: ())
    finally:
        await server.stop()


async def pulled(client: BulkClient, *wanted: Wanted, run_id: RunId = RUN) -> list[Piece]:
    async with aclosing(client.pull(NODE, run_id, wanted)) as pieces:
        return [piece async for piece in pieces]


async def pushed(
    client: BulkClient, contents: dict[ObjectId, bytes], run_id: RunId = RUN
) -> dict[ObjectId, bool]:
    def open_object(object_id: ObjectId) -> Readable:
        return Content(contents[object_id])

    pieces = pieces_of(list(contents), open_object, in_thread)
    return dict([one async for one in client.push(NODE, run_id, list(contents), pieces)])


@in_loop
async def test_objects_come_in_order_and_in_bounded_pieces() -> None:
    desk = Desk(has=[LARGE, SMALL])
    async with served(desk) as client:
        pieces = await pulled(client, Wanted(id_of(SMALL)), Wanted(id_of(LARGE)))
    assert [piece.index for piece in pieces] == [0, 1, 1, 1, 1]
    assert b"".join(piece.data for piece in pieces if piece.index == 1) == LARGE
    assert max(len(piece.data) for piece in pieces) == PIECE_BYTES
    assert [content.longest for content in desk.opened] == [len(SMALL), PIECE_BYTES]
    assert all(content.is_closed for content in desk.opened)


@in_loop
async def test_a_pull_goes_on_where_it_broke() -> None:
    desk = Desk(has=[LARGE])
    offset = PIECE_BYTES + 17
    async with served(desk) as client:
        pieces = await pulled(client, Wanted(id_of(LARGE), offset, is_suspected=True))
    assert b"".join(piece.data for piece in pieces) == LARGE[offset:]
    assert pieces[0].offset == offset
    assert desk.suspected == [id_of(LARGE)]


@in_loop
async def test_what_is_not_here_is_told_and_does_not_end_the_stream() -> None:
    awaited = id_of(b"awaited")
    async with served(Desk(has=[SMALL], wanted=[awaited])) as client:
        pieces = await pulled(
            client, Wanted(id_of(b"unknown")), Wanted(awaited), Wanted(id_of(SMALL))
        )
    assert [piece.absence for piece in pieces] == [Absence.UNKNOWN, Absence.AWAITED, Absence.NONE]


@in_loop
async def test_pushed_objects_are_kept_and_answered_one_by_one() -> None:
    contents = {id_of(LARGE): LARGE, id_of(SMALL): SMALL}
    desk = Desk(wanted=list(contents))
    async with served(desk) as client:
        taken = await pushed(client, contents)
    assert taken == dict.fromkeys(contents, True)
    assert desk.kept == contents
    assert max(arriving.longest for arriving in desk.begun) == PIECE_BYTES


@in_loop
async def test_wrong_and_unwanted_objects_are_refused_and_the_others_kept() -> None:
    wrong, unwanted = id_of(b"what it should be"), id_of(b"unwanted")
    desk = Desk(wanted=[wrong, id_of(SMALL)])
    async with served(desk) as client:
        taken = await pushed(
            client, {wrong: b"damaged", unwanted: b"unwanted", id_of(SMALL): SMALL}
        )
    assert taken == {wrong: False, unwanted: False, id_of(SMALL): True}
    assert list(desk.kept) == [id_of(SMALL)]


@in_loop
async def test_complete_objects_are_kept_in_batches_of_bounded_size() -> None:
    each = STORED_AT_ONCE_BYTES // 2
    contents = {id_of(bytes([n]) * each): bytes([n]) * each for n in range(5)}
    desk = Desk(wanted=list(contents))
    async with served(desk) as client:
        await pushed(client, contents)
    assert [len(batch) for batch in desk.batches] == [2, 2, 1]


@in_loop
async def test_only_the_opening_is_proven_and_it_must_be() -> None:
    guard = ProvesTheFirst()
    desk = Desk(wanted=[id_of(LARGE)], has=[LARGE])
    async with served(desk, guard) as client:
        await pulled(client, Wanted(id_of(LARGE)))
        await pushed(client, {id_of(LARGE): LARGE})
        assert guard.shown == [("Pull", RUN), ("Pull", RUN), ("Push", RUN)]
        with pytest.raises(InvalidError, match="not your run"):
            await pulled(client, Wanted(id_of(LARGE)), run_id=RunId(8))
        with pytest.raises(InvalidError, match="not your run"):
            await pushed(client, {id_of(LARGE): LARGE}, run_id=RunId(8))
    assert len(desk.begun) == 1


async def push_raw(desk: Desk, ids: Sequence[ObjectId], *messages: bytes) -> FlwrError | None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        for message in messages:
            yield message

    async with served(desk) as client:
        try:
            async for _ in client.push(NODE, RUN, ids, pieces()):
                pass
        except FlwrError as error:
            return error
    return None


@pytest.mark.parametrize(
    "message",
    [
        encode_piece(1, 10, 0, b"01234"),  # the opening names one object
        encode_piece(0, 10, 5, b"01234"),  # what comes before is missing
        encode_piece(0, 10, 0, bytes(HATCH_PIECE_BYTES + 100)),
        b"\xff\xff",
    ],
    ids=["unnamed", "gap", "too large", "garbage"],
)
@in_loop
async def test_a_nonsensical_piece_ends_the_stream(message: bytes) -> None:
    desk = Desk(wanted=[id_of(SMALL)])
    assert isinstance(await push_raw(desk, [id_of(SMALL)], message), InvalidError)
    assert all(arriving.is_abandoned for arriving in desk.begun)
    assert not desk.kept


@in_loop
async def test_what_was_complete_when_the_stream_broke_is_kept() -> None:
    ids = [id_of(SMALL), id_of(LARGE)]
    desk = Desk(wanted=ids)
    whole = encode_piece(0, len(SMALL), 0, SMALL)
    part = encode_piece(1, len(LARGE), 0, LARGE[:PIECE_BYTES])
    assert await push_raw(desk, ids, whole, part, b"\xff\xff") is not None
    assert desk.kept == {id_of(SMALL): SMALL}
    assert [arriving.is_abandoned for arriving in desk.begun] == [False, True]


@in_loop
async def test_a_failure_of_the_sender_is_the_sender_s() -> None:
    async def pieces() -> AsyncGenerator[bytes, None]:
        yield encode_piece(0, len(LARGE), 0, LARGE[:PIECE_BYTES])
        raise FlwrError("our file is damaged")

    async with served(Desk(wanted=[id_of(LARGE)])) as client:
        with pytest.raises(FlwrError, match="our file is damaged"):
            async for _ in client.push(NODE, RUN, [id_of(LARGE)], pieces()):
                pass


@in_loop
async def test_a_server_without_streams_says_so() -> None:
    server = make_server("127.0.0.1:0", services=[], tls=None, interceptors=chain())
    await server.start()
    try:
        async with open_aio_channel(server.address, None) as channel:
            client = BulkClient(channel, lambda _method, _first: ())
            with pytest.raises(UnimplementedError):
                await pulled(client, Wanted(id_of(SMALL)))
            with pytest.raises(UnimplementedError):
                await pushed(client, {id_of(SMALL): SMALL})
    finally:
        await server.stop()


@in_loop
async def test_a_receiver_goes_on_with_a_partial_object() -> None:
    desk = Desk(wanted=[id_of(LARGE)])
    receiver = Receiver(desk, in_thread)
    at = PIECE_BYTES
    await receiver.take(id_of(LARGE), Piece(0, len(LARGE), 0, memoryview(LARGE)[:at]))
    await receiver.flush()  # the stream broke
    assert receiver.received(id_of(LARGE)) == at
    await receiver.take(id_of(LARGE), Piece(0, len(LARGE), at, memoryview(LARGE)[at:]))
    await receiver.close()
    assert [(one.object_id, one.is_stored) for one in receiver.outcomes()] == [(id_of(LARGE), True)]
    assert desk.kept == {id_of(LARGE): LARGE}


@in_loop
async def test_nothing_is_answered_before_it_is_durable() -> None:
    desk = Desk(wanted=[id_of(LARGE), id_of(SMALL)])
    async with served(desk, settling=SOON) as client:
        pieces = pieces_of([id_of(LARGE), id_of(SMALL)], lambda key: CONTENTS[key](), in_thread)
        answers = client.push(NODE, RUN, [id_of(LARGE), id_of(SMALL)], pieces)
        async for object_id, stored in answers:
            assert stored
            assert object_id in desk.durable
    assert sorted(desk.durable) == sorted([id_of(LARGE), id_of(SMALL)])


class Watched(Desk):
    """Tells when it has kept something."""

    def __init__(self, *, wanted: Sequence[ObjectId]) -> None:
        super().__init__(wanted=wanted)
        self.has_kept = threading.Event()

    def keep(self, complete: Sequence[Arriving]) -> list[bool]:
        stored = super().keep(complete)
        self.has_kept.set()
        return stored


@in_loop
async def test_a_wait_for_the_disk_is_put_off_until_what_came_may_be_gone_again() -> None:
    desk = Watched(wanted=[id_of(SMALL)])
    messages = iter([encode_piece(0, len(SMALL), 0, SMALL), None])

    async def read() -> bytes | None:
        return next(messages)

    async def take() -> list[bytes]:
        settling = Settling(timedelta(seconds=1))
        taken = take_in(desk, [id_of(SMALL)], read, in_thread, settling)
        return [answer async for answer in taken]

    taking = asyncio.create_task(take())
    assert await in_thread(desk.has_kept.wait, 30)
    assert not desk.durable, "who waits for it may collect it now"
    assert len(await taking) == 1
    assert desk.durable == [id_of(SMALL)]


@in_loop
async def test_what_was_collected_is_answered_at_once() -> None:
    desk = Watched(wanted=[id_of(SMALL)])
    messages = iter([encode_piece(0, len(SMALL), 0, SMALL), None])

    async def read() -> bytes | None:
        return next(messages)

    async def take() -> list[bytes]:
        settling = Settling(timedelta(hours=1))
        taken = take_in(desk, [id_of(SMALL)], read, in_thread, settling)
        return [answer async for answer in taken]

    taking = asyncio.create_task(take())
    assert await in_thread(desk.has_kept.wait, 30)
    desk.collected.set()
    async with asyncio.timeout(30):
        assert len(await taking) == 1


@pytest.mark.parametrize("patience_s", [0.0, 3_600.0])
@in_loop
async def test_while_more_comes_the_disk_is_waited_for_when_patience_ends(
    patience_s: float,
) -> None:
    batch = bytes(STORED_AT_ONCE_BYTES)
    desk = Watched(wanted=[id_of(batch), id_of(SMALL)])
    durable_before_the_end: list[ObjectId] = []

    async def messages() -> AsyncGenerator[bytes, None]:
        for offset in range(0, len(batch), PIECE_BYTES):
            yield encode_piece(0, len(batch), offset, batch[offset : offset + PIECE_BYTES])
        assert await in_thread(desk.has_kept.wait, 30)
        yield encode_piece(1, len(SMALL), 0, SMALL)
        durable_before_the_end.extend(desk.durable)

    coming = messages()

    async def read() -> bytes | None:
        return await anext(coming, None)

    settling = Settling(timedelta(), timedelta(seconds=patience_s))
    ids = [id_of(batch), id_of(SMALL)]
    taken = [one async for one in take_in(desk, ids, read, in_thread, settling)]

    assert len(taken) == 2
    assert durable_before_the_end == ([] if patience_s else [id_of(batch)])
    assert sorted(desk.durable) == sorted(ids)
