"""Tubes between a SuperNode and an executor: frames, tickets, limits, and peers that break."""

import asyncio
import logging
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import pairwise

import pytest

from flwr.core.errors import (
    ErrorKind,
    FailedPreconditionError,
    FlwrError,
    UnavailableError,
    UnimplementedError,
)
from flwr.core.limits import MAX_RPC_BYTES, MAX_TUBE_CALLS, MAX_TUBES
from flwr.proto import heartbeat_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata, tube_server
from flwr.wire import tube as frames
from flwr.wire.appio_methods import FINISH_LAUNCH, HEARTBEAT, REPORT_EXIT
from flwr.wire.clients import tube as clients
from flwr.wire.clients.tube import Tube, Tubes
from flwr.wire.codec.pieces import Invitation
from flwr.wire.tube import HEAD, USUAL_BYTES, TubeFrame, TubeLostError
from flwr.wire.tube_server import TubeCall, TubeServer

LARGE = bytes(range(256)) * 1024 * 5
TOKEN = "t" * 256


class Node:
    """A SuperNode's end, which keeps the calls that come or answers them as told."""

    def __init__(self) -> None:
        self.server = TubeServer()
        self.calls: list[TubeCall] = []
        self.answer: Callable[[TubeCall], object] = lambda _call: None
        self._came: asyncio.Queue[TubeCall] = asyncio.Queue()

    def desk(self, call: TubeCall) -> None:
        self.calls.append(call)
        self._came.put_nowait(call)
        self.answer(call)

    async def invite(self) -> Invitation:
        return self.server.invite(self.desk)

    async def next_call(self) -> TubeCall:
        async with asyncio.timeout(60):
            return await self._came.get()


def scenario(body: Callable[[Node], Awaitable[None]]) -> None:
    async def play() -> None:
        node = Node()
        serving = asyncio.create_task(node.server.serve())
        await asyncio.sleep(0)
        try:
            async with asyncio.timeout(60):
                await body(node)
        finally:
            serving.cancel()
            await asyncio.gather(serving, return_exceptions=True)

    asyncio.run(play())


@asynccontextmanager
async def connected(node: Node) -> AsyncIterator[Tube]:
    tubes = Tubes()
    tube = await tubes.open(node.invite)
    assert tube is not None
    yield tube
    tubes.close()


@asynccontextmanager
async def stranger(node: Node) -> AsyncIterator[socket.socket]:
    """Connect without saying anything."""
    loop = asyncio.get_running_loop()
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.setblocking(False)
        await loop.sock_connect(sock, (await node.invite()).address)
        yield sock


async def admitted(node: Node, sock: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ticket = (await node.invite()).ticket
    await loop.sock_sendall(sock, HEAD.pack(len(ticket), TubeFrame.OPEN, 0) + ticket)
    assert await loop.sock_recv(sock, 100) == HEAD.pack(0, TubeFrame.ANSWER, 0)


async def until(holds: Callable[[], bool]) -> None:
    for _ in range(6000):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never held")


async def is_hung_up(sock: socket.socket) -> bool:
    try:
        async with asyncio.timeout(60):
            return not await asyncio.get_running_loop().sock_recv(sock, 100)
    except ConnectionError:
        return True


def test_calls_are_answered_in_any_order_and_of_any_size() -> None:
    async def body(node: Node) -> None:
        async with connected(node) as tube:
            taking = asyncio.create_task(tube.call(TubeFrame.TAKE, b"have", timeout_s=10))
            first = await node.next_call()
            finishing = asyncio.create_task(tube.call(TubeFrame.FINISH, LARGE, timeout_s=10))
            second = await node.next_call()
            assert (first.kind, first.payload) == (TubeFrame.TAKE, b"have")
            assert (second.kind, second.payload) == (TubeFrame.FINISH, LARGE)
            assert second.answer(b"done")
            assert await finishing == b"done"
            assert first.answer(LARGE + LARGE)
            assert await taking == LARGE + LARGE
            assert not first.answer(b"twice")

    scenario(body)


def test_a_failure_crosses_with_its_kind_and_a_bug_without_its_text() -> None:
    failures: list[Exception] = [
        FailedPreconditionError("not now", hint="later"),
        RuntimeError("secret"),
    ]

    async def body(node: Node) -> None:
        def fail(_call: TubeCall) -> None:
            raise failures.pop(0)

        node.answer = fail
        async with connected(node) as tube:
            with pytest.raises(FailedPreconditionError, match="not now") as refused:
                await tube.call(TubeFrame.FINISH, b"", timeout_s=10)
            assert refused.value.hint == "later"
            with pytest.raises(FlwrError, match="failed on this call"):
                await tube.call(TubeFrame.FINISH, b"", timeout_s=10)
            assert tube.is_open

    scenario(body)


def test_frames_come_in_any_pieces() -> None:
    body_of = [b"", b"x" * 7, LARGE[: USUAL_BYTES + 5], b"end"]
    said = b"".join(
        HEAD.pack(len(payload), TubeFrame.FINISH, number) + payload
        for number, payload in enumerate(body_of, 1)
    )
    cuts = [0, 1, 8, 9, 12, 20, 25, 29, 1000, USUAL_BYTES, USUAL_BYTES + 40, len(said)]

    async def body(node: Node) -> None:
        node.answer = lambda call: call.answer(call.payload[-3:])
        async with stranger(node) as sock:
            await admitted(node, sock)
            for begin, end in pairwise(cuts):
                await asyncio.get_running_loop().sock_sendall(sock, said[begin:end])
                await asyncio.sleep(0.005)
            for _ in body_of:
                await node.next_call()
        assert [call.payload for call in node.calls] == body_of

    scenario(body)


@pytest.mark.parametrize(
    "said",
    [
        HEAD.pack(16, TubeFrame.OPEN, 0) + bytes(16),
        HEAD.pack(3, TubeFrame.OPEN, 0) + b"abc",
        HEAD.pack(0, TubeFrame.TAKE, 0),
        HEAD.pack(17, TubeFrame.OPEN, 0),
        HEAD.pack(0, 99, 0),
        b"GET / HTTP/1.1\r\n\r\n",
    ],
)
def test_who_has_no_ticket_is_not_heard(said: bytes) -> None:
    async def body(node: Node) -> None:
        async with stranger(node) as sock:
            await asyncio.get_running_loop().sock_sendall(sock, said)
            assert await is_hung_up(sock)
        assert node.calls == []

    scenario(body)


def test_a_ticket_is_good_once() -> None:
    async def body(node: Node) -> None:
        invitation = await node.invite()

        async def invite_again() -> Invitation:
            return invitation

        first, second = Tubes(), Tubes()
        assert await first.open(invite_again) is not None
        assert await second.open(invite_again) is None
        assert first.current is not None
        first.close()

    scenario(body)


@pytest.mark.parametrize(
    "said",
    [
        HEAD.pack(MAX_RPC_BYTES + 1, TubeFrame.FINISH, 1),
        HEAD.pack(0, TubeFrame.ANSWER, 1),
        HEAD.pack(0, TubeFrame.OPEN, 1),
        HEAD.pack(0, TubeFrame.TAKE, 1) * 2,
        b"".join(HEAD.pack(0, TubeFrame.TAKE, n) for n in range(MAX_TUBE_CALLS + 1)),
        struct.pack(">IBI", 0, 0, 0),
    ],
)
def test_an_executor_that_makes_no_sense_is_left(said: bytes) -> None:
    async def body(node: Node) -> None:
        async with stranger(node) as sock:
            await admitted(node, sock)
            await asyncio.get_running_loop().sock_sendall(sock, said)
            assert await is_hung_up(sock)
        async with connected(node):
            pass  # others are served

    scenario(body)


def test_who_stalls_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(frames, "_STALL_S", 0.05)

    async def body(node: Node) -> None:
        async with stranger(node) as half_said:
            await admitted(node, half_said)
            await asyncio.get_running_loop().sock_sendall(half_said, b"\0\0")
            assert await is_hung_up(half_said)
        node.answer = lambda call: call.answer(LARGE)
        async with stranger(node) as not_reading:
            await admitted(node, not_reading)
            await asyncio.get_running_loop().sock_sendall(
                not_reading, HEAD.pack(0, TubeFrame.TAKE, 1)
            )
            await until(lambda: not node.server.tubes)

    scenario(body)


def test_who_never_shows_a_ticket_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tube_server, "_PATIENCE_S", 0.05)

    async def body(node: Node) -> None:
        async with stranger(node) as sock:
            assert await is_hung_up(sock)

    scenario(body)


def test_no_more_tubes_than_there_may_be() -> None:
    async def body(node: Node) -> None:
        held = [Tubes() for _ in range(MAX_TUBES)]
        for tubes in held:
            assert await tubes.open(node.invite) is not None
        assert await Tubes().open(node.invite) is None
        held[0].close()
        await until(lambda: len(node.server.tubes) < MAX_TUBES)
        assert await Tubes().open(node.invite) is not None

    scenario(body)


def test_a_call_that_nobody_waits_for_is_cancelled_and_answered() -> None:
    async def body(node: Node) -> None:
        cancelled = asyncio.Event()
        async with connected(node) as tube:
            taking = asyncio.create_task(tube.call(TubeFrame.TAKE, b"", timeout_s=10))
            call = await node.next_call()
            call.on_cancel = cancelled.set
            taking.cancel()
            await cancelled.wait()
            assert call.answer()
            await until(lambda: not tube._left)

    scenario(body)


@pytest.mark.row("F7")
def test_a_launch_that_crosses_its_cancellation_is_given_back() -> None:
    launch = launches_pb2.TakeResponse(token=TOKEN, run_id=7).SerializeToString()

    async def body(node: Node) -> None:
        async with connected(node) as tube:
            for answers_first in (True, False):
                taking = asyncio.create_task(tube.call(TubeFrame.TAKE, b"", timeout_s=10))
                call = await node.next_call()
                if answers_first:
                    call.answer(launch)
                taking.cancel()
                await asyncio.gather(taking, return_exceptions=True)
                if not answers_first:
                    call.answer(launch)
                report = launches_pb2.ReportExitRequest.FromString((await node.next_call()).payload)
                assert (report.token, report.stopped) == (TOKEN, True)

    scenario(body)


def test_a_node_that_does_not_answer_in_time_loses_the_tube() -> None:
    async def body(node: Node) -> None:
        async with connected(node) as tube:
            patient = asyncio.create_task(tube.call(TubeFrame.TAKE, b"", timeout_s=10))
            with pytest.raises(TubeLostError):
                await tube.call(TubeFrame.RENEW, b"", timeout_s=0.05)
            with pytest.raises(TubeLostError):
                await patient
            with pytest.raises(TubeLostError):
                await tube.call(TubeFrame.TAKE, b"", timeout_s=10)

    scenario(body)


def test_a_node_hears_that_its_executor_is_gone() -> None:
    async def body(node: Node) -> None:
        cancelled = asyncio.Event()
        async with connected(node) as tube:
            taking = asyncio.create_task(tube.call(TubeFrame.TAKE, b"", timeout_s=10))
            call = await node.next_call()
            call.on_cancel = cancelled.set
            tube.abort()
            await cancelled.wait()
            assert not call.answer(b"late")
            with pytest.raises(TubeLostError):
                await taking

    scenario(body)


def test_a_lost_tube_is_opened_again_unless_it_never_is_of_use() -> None:
    async def body(node: Node) -> None:
        node.answer = lambda call: call.answer()
        tubes = Tubes()
        first = await tubes.open(node.invite)
        assert first is not None
        await first.call(TubeFrame.FINISH, b"", timeout_s=10)
        first.abort()
        second = await tubes.open(node.invite)
        assert second not in {None, first}
        assert second is tubes.current
        for _ in range(3):
            tube = await tubes.open(node.invite)
            assert tube is not None
            tube.abort()
        assert await tubes.open(node.invite) is None
        tubes.reconsider()  # the SuperNode was away
        assert await tubes.open(node.invite) is not None
        tubes.close()

    scenario(body)


@pytest.mark.parametrize("kind", ["no such call", "another machine"])
def test_where_there_is_no_tube_nobody_asks_twice(kind: str) -> None:
    asked = []

    async def invite() -> Invitation:
        asked.append(kind)
        if kind == "no such call":
            raise UnimplementedError("unknown")
        return Invitation(b"\0nobody-listens-here", bytes(16))

    async def body(_node: Node) -> None:
        tubes = Tubes()
        for _ in range(3):
            assert await tubes.open(invite) is None
        assert asked == [kind]

    scenario(body)


def test_a_node_that_is_away_is_no_reason_to_do_without() -> None:
    async def away() -> Invitation:
        raise UnavailableError("away")

    async def body(node: Node) -> None:
        tubes = Tubes()
        with pytest.raises(UnavailableError):
            await tubes.open(away)
        assert await tubes.open(node.invite) is not None

    scenario(body)


def test_calls_of_a_launch_say_what_their_headers_would() -> None:
    async def body(node: Node) -> None:
        node.answer = lambda call: call.answer(b"heard")
        tubes = Tubes()
        assert await tubes.call(FINISH_LAUNCH, b"", TOKEN, {}, 10) is None, "there is no tube yet"
        await tubes.open(node.invite)
        finish = launches_pb2.FinishRequest(reply=b"reply", token="forged").SerializeToString()
        assert await tubes.call(FINISH_LAUNCH, finish, TOKEN, {}, 10) == b"heard"
        renewal = heartbeat_pb2.SendAppHeartbeatRequest().SerializeToString()
        said = {metadata.HEARTBEAT_S: "2.5"}
        assert await tubes.call(HEARTBEAT, renewal, TOKEN, said, 10) == b"heard"
        assert await tubes.call(REPORT_EXIT, b"", TOKEN, {}, 10) is None, "nothing says this"
        finished, renewed = node.calls
        assert launches_pb2.FinishRequest.FromString(
            finished.payload
        ) == launches_pb2.FinishRequest(reply=b"reply", token=TOKEN)
        assert launches_pb2.Renewal.FromString(renewed.payload) == launches_pb2.Renewal(
            token=TOKEN, heartbeat_s="2.5"
        )
        tubes.close()
        assert await tubes.call(FINISH_LAUNCH, finish, TOKEN, {}, 10) is None

    scenario(body)


def test_a_refused_call_is_in_the_log_as_any_other(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "flwr.wire.interceptors.access_log")

    async def body(node: Node) -> None:
        refusal = FlwrError("no")
        refusal.kind = ErrorKind.UNAUTHENTICATED
        node.answer = lambda call: (
            call.answer() if call.kind is TubeFrame.RENEW else call.fail(refusal)
        )
        async with connected(node) as tube:
            await tube.call(TubeFrame.RENEW, b"", timeout_s=10)
            with pytest.raises(FlwrError):
                await tube.call(TubeFrame.FINISH, b"", timeout_s=10)

    scenario(body)
    tubes = [vars(r) for r in caplog.records if r.name.endswith("access_log")]
    assert [(one["method"], one["status"], one["levelname"]) for one in tubes] == [
        (HEARTBEAT, "OK", "DEBUG"),
        (FINISH_LAUNCH, "UNAUTHENTICATED", "WARNING"),
    ]


def test_an_executor_leaves_a_node_that_makes_no_sense() -> None:
    async def body(node: Node) -> None:
        async with connected(node) as tube:
            taking = asyncio.create_task(tube.call(TubeFrame.TAKE, b"", timeout_s=10))
            await node.next_call()
            (theirs,) = node.server.tubes
            theirs.send(TubeFrame.TAKE, 1)
            with pytest.raises(TubeLostError):
                await taking

    scenario(body)


def test_a_tube_is_given_up_when_nobody_answers_the_ticket(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clients, "_PATIENCE_S", 0.05)

    async def body(_node: Node) -> None:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as deaf:
            deaf.bind(b"\0flwr-test-deaf")
            deaf.listen()

            async def invite() -> Invitation:
                return Invitation(b"\0flwr-test-deaf", bytes(16))

            assert await Tubes().open(invite) is None

    scenario(body)
