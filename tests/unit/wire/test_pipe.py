import asyncio
import signal
import socket
import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest

from flwr.core.errors import ErrorKind, FlwrError, InvalidError, NotFoundError, UnavailableError
from flwr.core.run import RunNotRunningError, RunStatus
from flwr.proto import appio_pb2
from flwr.wire.appio_methods import PULL_PIECES, PUSH_PIECES
from flwr.wire.pipe import (
    PipeCaller,
    PipeClosedError,
    Request,
    decode_failure,
    decode_request,
    encode_request,
)
from flwr.wire.pipe_server import Hear, PipeServer, Stream
from flwr.wire.transport import PeerNotRunningError, with_token

METHOD = "/flwr.proto.ServerAppIo/GetNodes"


@contextmanager
def runner(
    answer: Callable[[Request], Awaitable[bytes]],
    stream: Stream | None = None,
    hear: Hear = lambda _: None,
) -> Iterator[PipeCaller]:
    """Serve one end of a pipe in a thread; yield a caller at the other."""
    ours, theirs = socket.socketpair()

    async def serve() -> None:
        server = PipeServer(theirs, answer, hear, stream)
        await server.ended
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    caller = PipeCaller(ours)
    yield caller
    caller.close()
    thread.join(60)
    assert not thread.is_alive()


async def echo(request: Request) -> bytes:
    return request.body


def test_a_call_brings_method_metadata_and_body_and_takes_the_answer_back() -> None:
    seen: list[Request] = []

    async def answer(request: Request) -> bytes:
        seen.append(request)
        return b"answer"

    with runner(answer) as caller:
        got = caller.call(METHOD, b"a\0b", timeout=60.0, metadata={"flwr-compose-wait": "any"})

    assert got == b"answer"
    assert seen == [Request(METHOD, b"a\0b", {"flwr-compose-wait": "any"}, 60.0)]


def test_a_large_object_crosses_the_pipe_both_ways() -> None:
    content = bytes(range(256)) * 24_000

    with runner(echo) as caller:
        assert caller.call(METHOD, content) == content


def test_many_threads_each_get_their_own_answer_though_answers_come_out_of_order() -> None:
    everyone = 8
    waiting: list[asyncio.Future[None]] = []

    async def last_first(request: Request) -> bytes:
        turn = asyncio.get_running_loop().create_future()
        waiting.append(turn)
        if len(waiting) == everyone:
            for earlier in reversed(waiting):
                earlier.set_result(None)
                await asyncio.sleep(0)
        await turn
        return request.body

    answers: dict[int, bytes] = {}
    with runner(last_first) as caller:

        def ask(number: int) -> None:
            answers[number] = caller.call(METHOD, b"%d" % number)

        threads = [threading.Thread(target=ask, args=(n,)) for n in range(everyone)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)

    assert answers == {n: b"%d" % n for n in range(everyone)}


@pytest.mark.parametrize(
    ("raised", "kind", "seen_as"),
    [
        (NotFoundError("gone", hint="look elsewhere"), ErrorKind.NOT_FOUND, NotFoundError),
        (RunNotRunningError(RunStatus.STOPPED), ErrorKind.NOT_RUNNING, PeerNotRunningError),
        (FlwrError("bug"), ErrorKind.INTERNAL, FlwrError),
    ],
)
def test_an_error_of_the_runner_is_raised_in_the_app(
    raised: FlwrError, kind: ErrorKind, seen_as: type[FlwrError]
) -> None:
    async def fail(_: Request) -> bytes:
        raise raised

    with runner(fail) as caller, pytest.raises(seen_as) as failure:
        caller.call(METHOD, b"")

    assert (failure.value.kind, failure.value.message) == (kind, raised.message)
    assert failure.value.hint == raised.hint


def test_a_bug_in_the_runner_ends_the_call_and_nothing_else() -> None:
    async def stumble(request: Request) -> bytes:
        if request.body == b"bad":
            raise ZeroDivisionError
        return request.body

    with runner(stumble) as caller:
        with pytest.raises(FlwrError, match="its log says why"):
            caller.call(METHOD, b"bad")
        assert caller.call(METHOD, b"good") == b"good"


def test_a_call_costs_no_thread_and_a_word_no_answer() -> None:
    told: list[Request] = []

    async def answer(request: Request) -> bytes:
        told.append(request)
        return request.body

    with runner(answer, hear=told.append) as caller:
        before = set(threading.enumerate())  # some of other tests may end meanwhile
        caller.tell(METHOD, b"by the way")
        assert caller.call(METHOD, b"well") == b"well"
        assert set(threading.enumerate()) <= before
    assert [request.body for request in told] == [b"by the way", b"well"]


def test_a_wait_that_a_signal_interrupts_leaves_the_pipe_usable() -> None:
    class InterruptedWaitError(Exception):
        pass

    def interrupt(_number: int, _frame: object) -> None:
        raise InterruptedWaitError

    async def hold(request: Request) -> bytes:
        if request.body == b"hold":
            await asyncio.Event().wait()
        return request.body

    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with runner(hold) as caller:
            signal.setitimer(signal.ITIMER_REAL, 0.05)
            with pytest.raises(InterruptedWaitError):
                caller.call(METHOD, b"hold")
            assert caller.call(METHOD, b"again") == b"again"
    finally:
        signal.signal(signal.SIGALRM, before)


def test_pieces_cross_the_pipe_both_ways_in_one_call() -> None:
    async def answer(_: Request) -> bytes:
        return b""

    async def double(
        request: Request, more: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        yield request.body
        async for piece in more:
            yield piece * 2

    def stumble(_: object) -> None:
        raise ZeroDivisionError

    got: list[bytes] = []
    pieces = [[bytes([n]) * 100_000] for n in range(20)]
    with runner(answer, double) as caller:
        caller.stream(PUSH_PIECES, b"first", more=iter(pieces), take=lambda p: got.append(bytes(p)))
        caller.stream(PULL_PIECES, b"only", take=lambda p: got.append(bytes(p)))
        with pytest.raises(ZeroDivisionError):
            caller.stream(PULL_PIECES, b"bad", take=stumble)
        assert caller.call(METHOD, b"") == b""

    assert got == [b"first", *(piece * 2 for (piece,) in pieces), b"only"]


def test_a_call_that_waits_too_long_is_given_up_and_cancelled_at_the_runner() -> None:
    cancelled = threading.Event()

    async def hold(request: Request) -> bytes:
        try:
            while request.body != b"answered":
                await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise
        return b""

    with runner(hold) as caller:
        caller.call(METHOD, b"answered")  # the runner listens: what is given up there, had begun
        with pytest.raises(UnavailableError, match=r"no answer .* within 0.5 s"):
            caller.call(METHOD, b"held", timeout=0.5)
        assert cancelled.wait(60)


def test_calls_fail_at_once_when_the_runner_dies() -> None:
    ours, theirs = socket.socketpair()
    caller = PipeCaller(ours)
    failures: list[FlwrError] = []

    def ask() -> None:
        try:
            caller.call(METHOD, b"")
        except FlwrError as error:
            failures.append(error)

    thread = threading.Thread(target=ask)
    thread.start()
    theirs.recv(1)  # the request is on its way
    theirs.close()
    thread.join(60)

    assert [type(error) for error in failures] == [PipeClosedError]
    with pytest.raises(PipeClosedError):
        caller.call(METHOD, b"")
    caller.close()


def test_what_is_no_frame_ends_the_pipe() -> None:
    ours, theirs = socket.socketpair()
    caller = PipeCaller(ours)
    theirs.sendall(b"\xff" * 9)

    with pytest.raises(PipeClosedError):
        caller.call(METHOD, b"", timeout=60)
    caller.close()
    theirs.close()


def test_a_request_survives_encoding_and_garbage_is_refused() -> None:
    request = Request(METHOD, b"\0\0", {"k": "v"}, None)

    assert decode_request(encode_request(request)) == request
    for garbage in (b"", b"m\0{}\0", b"m\0no json\0", b"m\0[]\0"):
        with pytest.raises(InvalidError):
            decode_request(garbage)
    assert isinstance(decode_failure(b"no json"), InvalidError)


def test_the_token_is_set_only_in_requests_that_have_one() -> None:
    request = appio_pb2.PullAppMessagesRequest(run_id=7).SerializeToString()
    token = "t" * 256

    with_it = with_token("/flwr.proto.ClientAppIo/PullMessage", request, token)

    decoded = appio_pb2.PullAppMessagesRequest.FromString(with_it)
    assert (decoded.run_id, decoded.token) == (7, token)
    assert with_token("/flwr.proto.ServerAppIo/PushObject", request, token) == request
