"""The account guard, and the order in which the log sees things."""

import asyncio
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest

from flwr.auth.accounts import NO_LOGIN, Account
from flwr.proto import control_pb2, control_pb2_grpc
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.account import AccountInterceptor, calling_account
from flwr.wire.server import chain
from tests.fakes.rpc import byte_service, connected, message_service, stream, unary


class Control:
    def __init__(self) -> None:
        self.accounts: list[Account] = []

    async def stop_run(self, request: Any, context: Any) -> Any:
        self.accounts.append(calling_account(context))
        return control_pb2.StopRunResponse(success=True)

    async def stream_logs(self, request: Any, context: Any) -> AsyncIterator[Any]:
        for _ in range(2):
            self.accounts.append(calling_account())
            yield control_pb2.StreamLogsResponse()


def test_without_logins_everybody_is_the_same_account() -> None:
    servicer = Control()

    async def play() -> None:
        service = message_service(
            "flwr.proto.Control",
            {"StopRun": (control_pb2.StopRunRequest, servicer.stop_run)},
            {"StreamLogs": (control_pb2.StreamLogsRequest, servicer.stream_logs)},
        )
        async with connected(service, interceptors=chain(AccountInterceptor())) as channel:
            stub = control_pb2_grpc.ControlStub(channel)
            await stub.StopRun(control_pb2.StopRunRequest(run_id=1))
            async for _ in stub.StreamLogs(control_pb2.StreamLogsRequest(run_id=1)):
                pass

    asyncio.run(play())

    assert servicer.accounts == [NO_LOGIN] * 3


@pytest.mark.row("F21")
def test_an_unlisted_method_of_control_is_refused() -> None:
    async def reached(_request: bytes, _rpc: Any) -> bytes:
        raise AssertionError

    async def play() -> grpc.StatusCode:
        service = byte_service("flwr.proto.Control", {"Unlisted": reached})
        async with connected(service, interceptors=chain(AccountInterceptor())) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "/flwr.proto.Control/Unlisted")(b"")
            return caught.value.code()

    assert asyncio.run(play()) is grpc.StatusCode.UNAUTHENTICATED


def test_a_call_is_one_debug_line_with_its_facts(caplog: pytest.LogCaptureFixture) -> None:
    async def work(request: bytes, _rpc: Any) -> bytes:
        add_fact("run_id", 7)
        return request

    async def play() -> None:
        service = byte_service("flwr.proto.Control", {"Do": work})
        async with connected(service, interceptors=chain()) as channel:
            await unary(channel, "/flwr.proto.Control/Do")(b"")

    with caplog.at_level(logging.DEBUG, logger="flwr.wire.interceptors"):
        asyncio.run(play())

    (line,) = [r for r in caplog.records if r.name.startswith("flwr.wire.interceptors")]
    facts = vars(line)
    assert (line.levelno, facts["status"], facts["run_id"]) == (logging.DEBUG, "OK", 7)
    assert facts["duration_s"] >= 0


def test_a_servicer_may_abort_by_itself_and_write_to_its_stream() -> None:
    async def abort(_request: bytes, rpc: Any) -> bytes:
        await rpc.abort(grpc.StatusCode.OUT_OF_RANGE, "mine")
        raise AssertionError

    async def write(_request: bytes, rpc: Any) -> None:
        await rpc.write(b"one")
        await rpc.write(b"two")

    async def play() -> tuple[grpc.StatusCode, list[bytes]]:
        service = byte_service("flwr.proto.Control", {"Abort": abort}, {"Write": write})
        async with connected(service, interceptors=chain()) as channel:
            with pytest.raises(grpc.aio.AioRpcError) as caught:
                await unary(channel, "/flwr.proto.Control/Abort")(b"")
            chunks = [chunk async for chunk in stream(channel, "/flwr.proto.Control/Write")(b"")]
            return caught.value.code(), chunks

    assert asyncio.run(play()) == (grpc.StatusCode.OUT_OF_RANGE, [b"one", b"two"])
