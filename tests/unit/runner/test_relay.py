import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from datetime import timedelta
from typing import Any, TypeVar

import grpc
import pytest

from flwr.core.clock import SystemClock
from flwr.core.errors import (
    DeniedError,
    FlwrError,
    InvalidError,
    UnauthenticatedError,
    UnavailableError,
    UnimplementedError,
)
from flwr.core.lease import AppKind
from flwr.core.limits import APP_HEARTBEAT, APP_PATIENCE
from flwr.runner import relay
from flwr.runner.relay import Relay, require_allowed, retry_policy
from flwr.wire.appio_methods import PULL_PIECES
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.runner import RunnerClient
from flwr.wire.errors import abort_with
from flwr.wire.pipe import Request
from tests.fakes.rpc import byte_service, serving

T = TypeVar("T")
GET_NODES = "/flwr.proto.ServerAppIo/GetNodes"


class Server:
    """Answers GetNodes; fails as often as told."""

    def __init__(self, *failures: FlwrError) -> None:
        self.failures = list(failures)
        self.requests: list[tuple[bytes, dict[str, str]]] = []

    async def get_nodes(self, request: bytes, rpc: Any) -> bytes:
        self.requests.append((request, dict(rpc.invocation_metadata())))
        if self.failures:
            await abort_with(rpc, self.failures.pop(0), method=GET_NODES)
        return b"answer:" + request


def relaying(server: Server, body: Callable[[Relay], Awaitable[T]]) -> T:
    async def scenario() -> T:
        async with (
            asyncio.timeout(60),
            serving(byte_service("flwr.proto.ServerAppIo", {"GetNodes": server.get_nodes})) as at,
            open_aio_channel(at.address, None) as channel,
        ):
            relay = Relay(channel, "secret", retry=retry_policy(at.address, None, SystemClock()))
            return await body(relay)

    return asyncio.run(scenario())


def test_a_stream_that_upstream_refuses_like_a_dead_token_is_only_not_offered() -> None:
    service, _, name = PULL_PIECES.strip("/").partition("/")

    async def refuse(_request: bytes, rpc: Any) -> AsyncIterator[bytes]:
        await rpc.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication failed.")
        yield b""

    async def nothing() -> AsyncGenerator[bytes, None]:
        for message in list[bytes]():
            yield message

    async def scenario() -> None:
        async with (
            asyncio.timeout(60),
            serving(byte_service(service, stream={name: refuse})) as at,
            open_aio_channel(at.address, None) as channel,
        ):
            calls = Relay(channel, "secret", retry=retry_policy(at.address, None, SystemClock()))
            with pytest.raises(UnimplementedError):
                await anext(calls.stream(Request(PULL_PIECES, b""), nothing()))
            assert not calls.refused.done(), "the token is as good as before"

    asyncio.run(scenario())


@pytest.mark.row("F16")
def test_a_heartbeat_that_hangs_is_given_up_before_the_lease_lapses(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    longest_silence_s = relay._HEARTBEAT_S + APP_HEARTBEAT.total_seconds()
    assert longest_silence_s < APP_PATIENCE.total_seconds()
    monkeypatch.setattr(relay, "_HEARTBEAT_S", 0.1)

    async def scenario() -> None:
        async def hang(_request: bytes, _rpc: Any) -> bytes:
            await asyncio.Event().wait()
            return b""

        async with (
            asyncio.timeout(60),
            serving(byte_service("flwr.proto.ServerAppIo", {"SendAppHeartbeat": hang})) as at,
            open_aio_channel(at.address, None) as channel,
        ):
            calls = Relay(channel, "secret", retry=retry_policy(at.address, None, SystemClock()))
            with pytest.raises(UnavailableError):
                await RunnerClient(calls, kind=AppKind.SERVERAPP).heartbeat(next_in=APP_HEARTBEAT)

    asyncio.run(scenario())


def test_bytes_pass_through_with_the_token_and_the_metadata_of_the_app() -> None:
    server = Server()

    async def call(relay: Relay) -> bytes:
        return await relay.call(GET_NODES, b"question", metadata={"flwr-compose-wait": "any"})

    assert relaying(server, call) == b"answer:question"
    [(request, headers)] = server.requests
    assert request == b"question"
    assert headers["flwr-app-token"] == "secret"
    assert headers["flwr-compose-wait"] == "any"


@pytest.mark.row("F1")
def test_an_unavailable_daemon_is_asked_again() -> None:
    server = Server(UnavailableError("restarting"), UnavailableError("restarting"))

    assert relaying(server, lambda relay: relay.call(GET_NODES, b"")) == b"answer:"
    assert len(server.requests) == 3


def test_no_patience_means_one_attempt() -> None:
    server = Server(UnavailableError("restarting"))

    with pytest.raises(UnavailableError):
        relaying(server, lambda relay: relay.call(GET_NODES, b"", patience=timedelta(0)))
    assert len(server.requests) == 1


def test_other_failures_are_handed_on_at_once() -> None:
    server = Server(InvalidError("no such thing"))

    with pytest.raises(InvalidError, match="no such thing"):
        relaying(server, lambda relay: relay.call(GET_NODES, b""))


@pytest.mark.row("S63")
def test_a_refused_token_is_remembered() -> None:
    async def call(relay: Relay) -> bool:
        with pytest.raises(UnauthenticatedError):
            await relay.call(GET_NODES, b"")
        return relay.refused.done()

    assert relaying(Server(UnauthenticatedError("Authentication failed.")), call)


@pytest.mark.row("F21", "F23")
@pytest.mark.parametrize(
    ("kind", "method"),
    [
        (AppKind.SERVERAPP, "/flwr.proto.ServerAppIo/UpdateRunStatus"),
        (AppKind.SERVERAPP, "/flwr.proto.ServerAppIo/PushLogs"),
        (AppKind.SERVERAPP, "/flwr.proto.ServerAppIo/RequestToken"),
        (AppKind.SERVERAPP, "/flwr.proto.Control/StopRun"),
        (AppKind.CLIENTAPP, "/flwr.proto.ServerAppIo/PushMessages"),
        (AppKind.CLIENTAPP, "/flwr.proto.ClientAppIo/RequestToken"),
        (AppKind.CLIENTAPP, "/flwr.compose.v1.Launches/ReportExit"),
    ],
)
def test_an_app_may_call_only_what_an_app_needs(kind: AppKind, method: str) -> None:
    with pytest.raises(DeniedError):
        require_allowed(kind, Request(method, b""))
