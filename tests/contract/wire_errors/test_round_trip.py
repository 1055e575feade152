"""Every kind of failure crosses a real gRPC connection and comes out as it went in."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from flwr.core.errors import ErrorKind, FlwrError
from flwr.wire.errors import from_rpc_error
from flwr.wire.server import chain
from flwr.wire.status import StatusCode, code_of
from flwr.wire.transport import failure_of
from tests.fakes.rpc import byte_service, connected, serving, stream, unary

SERVICES = ["flwr.proto.Control", "flwr.proto.Fleet", "flwr.proto.ServerAppIo"]
HINT = "tun Sie's nochmal: ä, ü, 新"


async def fail(request: bytes, _rpc: Any) -> bytes:
    raise failure_of(ErrorKind(request.decode()), f"it is {request.decode()}", hint=HINT)


async def fail_in_a_stream(request: bytes, _rpc: Any) -> AsyncIterator[bytes]:
    yield b"first"
    await fail(request, _rpc)


async def failures(service: str, kind: ErrorKind) -> list[grpc.aio.AioRpcError]:
    """Make a unary and a streaming call fail; the stream's first response arrives."""
    register = byte_service(service, {"Do": fail}, {"Watch": fail_in_a_stream})
    caught = []
    async with connected(register, interceptors=chain()) as channel:
        with pytest.raises(grpc.aio.AioRpcError) as failed:
            await unary(channel, f"/{service}/Do")(kind.encode())
        caught.append(failed.value)
        responses = stream(channel, f"/{service}/Watch")(kind.encode())
        assert await responses.read() == b"first"
        with pytest.raises(grpc.aio.AioRpcError) as broken:
            await responses.read()
        caught.append(broken.value)
    return caught


@pytest.mark.parametrize("service", SERVICES)
@pytest.mark.parametrize("kind", list(ErrorKind))
def test_kind_message_and_hint_survive_an_asynchronous_call(service: str, kind: ErrorKind) -> None:
    for caught in asyncio.run(failures(service, kind)):
        rebuilt = from_rpc_error(caught, method=f"/{service}/Do")

        assert rebuilt.kind is kind
        assert rebuilt.message == f"it is {kind}"
        assert rebuilt.hint == HINT
        assert type(rebuilt) is type(failure_of(kind, ""))
        assert caught.code().value[0] == code_of(kind, f"/{service}/Do")


@pytest.mark.parametrize("kind", list(ErrorKind))
def test_kind_message_and_hint_survive_a_synchronous_call(kind: ErrorKind) -> None:
    async def call() -> FlwrError:
        register = byte_service("flwr.proto.Control", {"Do": fail})
        async with serving(register, interceptors=chain()) as server:
            return await asyncio.to_thread(call_sync, server.address)

    def call_sync(address: str) -> FlwrError:
        method = "/flwr.proto.Control/Do"
        with grpc.insecure_channel(address) as channel:
            call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
            with pytest.raises(grpc.RpcError) as caught:
                call(kind.encode())
        return from_rpc_error(caught.value, method=method)

    rebuilt = asyncio.run(call())

    assert (rebuilt.kind, rebuilt.message, rebuilt.hint) == (kind, f"it is {kind}", HINT)


@pytest.mark.parametrize(
    ("kind", "code"),
    [
        (ErrorKind.NOT_RUNNING, StatusCode.PERMISSION_DENIED),
        (ErrorKind.TOO_LARGE, StatusCode.INVALID_ARGUMENT),
        (ErrorKind.UNAVAILABLE, StatusCode.UNAVAILABLE),
    ],
)
def test_upstreams_nodes_read_the_code_they_expect(kind: ErrorKind, code: StatusCode) -> None:
    assert code_of(kind, "/flwr.proto.Fleet/PullMessages") == code
    assert code_of(ErrorKind.TOO_LARGE, "/flwr.proto.Control/StartRun") == 8


def test_a_bug_is_internal_for_the_caller_and_logged_once(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def bug(_request: bytes, _rpc: Any) -> bytes:
        raise KeyError("secret detail")

    async def call() -> FlwrError:
        register = byte_service("flwr.proto.Fleet", {"Do": bug})
        async with connected(register, interceptors=chain()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "/flwr.proto.Fleet/Do")(b"")
        return from_rpc_error(caught.value, method="/flwr.proto.Fleet/Do")

    error = asyncio.run(call())

    assert error.kind is ErrorKind.INTERNAL
    assert "secret" not in error.message + error.hint
    bugs = [record for record in caplog.records if record.exc_info]
    assert [record.getMessage() for record in bugs] == ["Call failed by a bug"]


def test_a_very_long_message_is_clipped_and_still_arrives() -> None:
    async def long(_request: bytes, _rpc: Any) -> bytes:
        raise failure_of(ErrorKind.INVALID, "x" * 100_000, hint="y" * 100_000)

    async def call() -> FlwrError:
        register = byte_service("flwr.proto.Control", {"Do": long})
        async with connected(register, interceptors=chain()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "/flwr.proto.Control/Do")(b"")
        return from_rpc_error(caught.value, method="/flwr.proto.Control/Do")

    error = asyncio.run(call())

    assert error.kind is ErrorKind.INVALID
    assert error.message.endswith("...")
    assert len(error.message) == len(error.hint) == 1500
