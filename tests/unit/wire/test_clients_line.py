"""A node's end of its line, before SuperLinks that break it in every way."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
import pytest

from flwr.auth.line_seal import LineKey
from flwr.core.errors import FlwrError, UnavailableError, UnimplementedError
from flwr.core.ids import NodeId, RunId
from flwr.core.limits import PULL_AGAIN_BEFORE
from flwr.proto.compose.v1 import line_pb2
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients import line as line_module
from flwr.wire.clients.confirming import Secure
from flwr.wire.clients.line import LineEndedError, NodeLine, open_line
from flwr.wire.clients.line_keeper import LineKeeper
from flwr.wire.codec.lines import LinkSays, decode_node_frame, encode_link_frame
from flwr.wire.server import make_server

NODE = NodeId(5)
SOON_S = 15.0
QUICK = PULL_AGAIN_BEFORE + timedelta(milliseconds=50)  # asks whether anybody is there after that
CALM = timedelta(seconds=30)
Serve = Callable[[Any], Awaitable[None]]


async def nothing_to_secure() -> None:
    pass


@asynccontextmanager
async def opened(
    serve: Serve | None, interval: timedelta = CALM, secure: Secure | None = None
) -> AsyncIterator[NodeLine]:
    """Open a line to a server that does ``serve`` with it; None: it has no such service."""

    async def handle(_requests: Any, rpc: Any) -> None:
        assert serve is not None
        await serve(rpc)

    def register(server: grpc.aio.Server) -> None:
        handler: Any = grpc.stream_stream_rpc_method_handler(handle)
        rows = {"Open": handler} if serve else {}
        generic = grpc.method_handlers_generic_handler("flwr.compose.v1.NodeLine", rows)
        server.add_generic_rpc_handlers((generic,))

    server = make_server("127.0.0.1:0", services=[register], tls=None)
    await server.start()
    try:
        async with open_aio_channel(server.address, None) as channel, asyncio.timeout(SOON_S):
            line = await open_line(
                channel,
                lambda _method, _body: (),
                NODE,
                interval,
                is_durable=True,
                secure=secure or nothing_to_secure,
            )
            try:
                yield line
            finally:
                line.close()
    finally:
        await server.stop(timedelta(0))


async def hello(rpc: Any) -> Any:
    """Answer the opening; return what breaks the seals."""
    opening = line_pb2.NodeFrame.FromString(await rpc.read())
    assert (opening.node.node_id, opening.durable) == (NODE, True)
    key = LineKey()
    await rpc.write(line_pb2.LinkFrame(key=key.public).SerializeToString())
    return key.seal_by_link(opening.key)


def refused(serve: Serve | None) -> FlwrError:
    async def play() -> FlwrError:
        with pytest.raises(FlwrError) as caught:
            async with opened(serve):
                pass
        return caught.value

    return asyncio.run(play())


def test_a_server_without_lines_is_no_line() -> None:
    assert isinstance(refused(None), (UnimplementedError, UnavailableError))


def test_a_server_that_ends_the_line_at_once_is_no_line() -> None:
    async def end(_rpc: Any) -> None:
        pass

    assert refused(end).message


@pytest.mark.parametrize("answer", [b"", b"\xff\xff", b"\x0a\x01x"])
def test_an_answer_without_a_key_is_no_line(answer: bytes) -> None:
    async def answered(rpc: Any) -> None:
        await rpc.read()
        await rpc.write(answer)
        await rpc.read()

    assert refused(answered).message


def test_a_server_that_does_not_answer_the_opening_is_no_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(line_module, "LINE_OPENING", timedelta(milliseconds=100))

    async def silent(rpc: Any) -> None:
        while isinstance(await rpc.read(), bytes):
            pass

    assert isinstance(refused(silent), UnavailableError)


def test_a_line_whose_other_end_is_silent_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(line_module, "LINE_ANSWER", timedelta(milliseconds=100))

    async def silent(rpc: Any) -> None:
        await hello(rpc)
        await rpc.read()
        await rpc.read()

    async def play() -> None:
        async with opened(silent, QUICK) as line:
            with pytest.raises(LineEndedError, match="does not answer"):
                await line.pull(())
            assert not line.is_open

    asyncio.run(play())


def test_a_silent_node_asks_and_an_answer_ends_its_pull() -> None:
    async def answering(rpc: Any) -> None:
        seal = await hello(rpc)
        while isinstance(frame := await rpc.read(), bytes):
            assert decode_node_frame(seal.open(frame)).asks
            await rpc.write(encode_link_frame(LinkSays(heard=True)))

    async def play() -> None:
        async with opened(answering, QUICK) as line:
            for _ in range(2):
                assert await line.pull(()) == ([], [])
            assert line.is_open

    asyncio.run(play())


@pytest.mark.parametrize("breaks", ["end", "garbage", "abort"])
def test_whoever_waits_on_a_line_that_breaks_is_told(breaks: str) -> None:
    async def broken(rpc: Any) -> None:
        await hello(rpc)
        await rpc.read()
        if breaks == "garbage":
            await rpc.write(b"\xff\xff")
            await rpc.read()
        if breaks == "abort":
            await rpc.abort(grpc.StatusCode.UNAUTHENTICATED, "go away")

    async def play() -> None:
        async with opened(broken) as line:
            with pytest.raises(LineEndedError):
                await line.pull([RunId(7)])  # says which runs it has
            assert not line.is_open

    asyncio.run(play())


class Lines:
    """Opens lines, or fails to."""

    def __init__(self) -> None:
        self.opened = 0
        self.fails = True

    async def open_one(self) -> Any:
        self.opened += 1
        if self.fails:
            raise UnavailableError("nobody there")
        return Closed()


class Closed:
    """A line that has ended."""

    is_open = False

    def close(self) -> list[Any]:
        return []


def test_lines_that_cannot_be_had_are_tried_less_and_less_often(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pauses: list[float] = []

    def longest(_least: float, most: float) -> float:
        pauses.append(most)
        return most

    monkeypatch.setattr(random, "uniform", longest)

    async def play() -> None:
        lines = Lines()
        keeper = LineKeeper(lines.open_one)
        assert await keeper.get() is None
        assert lines.opened == 0  # none is offered
        keeper.is_offered = True
        waits = []
        for _ in range(10):
            keeper._closed_until = 0.0
            assert await keeper.get() is None
            assert await keeper.get() is None  # not before the pause is over
            waits.append(keeper._pause_s)
        assert lines.opened == 10
        assert waits[:3] == [0.5, 1.0, 2.0]
        assert waits[-1] == 60.0

    asyncio.run(play())


def test_a_steady_line_is_renewed_at_once_and_others_after_a_while() -> None:
    async def play() -> None:
        lines = Lines()
        lines.fails = False
        keeper = LineKeeper(lines.open_one)
        keeper.is_offered = True
        assert await keeper.get() is not None
        keeper.drop()
        assert await keeper.get() is None
        keeper._closed_until = 0.0
        assert await keeper.get() is not None
        keeper._opened_at -= 100
        keeper.drop()
        assert await keeper.get() is not None
        assert lines.opened == 3

    asyncio.run(play())
