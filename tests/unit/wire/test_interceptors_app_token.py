"""AppIo's guard, over real gRPC: tokens, their runs, and the SuperExec's proof."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from datetime import timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from flwr.auth.app_tokens import hash_token, new_token
from flwr.auth.superexec_auth import SuperExecSecret, SuperExecVerifier, sign_call
from flwr.core.errors import ErrorKind, FlwrError, UnauthenticatedError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind, Lease
from flwr.proto import appio_pb2, heartbeat_pb2, log_pb2, serverappio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire.appio_methods import REPORT_EXIT
from flwr.wire.errors import from_rpc_error
from flwr.wire.interceptors.app_token import AppTokenInterceptor, calling_lease
from flwr.wire.server import chain
from tests.fakes.clock import FakeClock
from tests.fakes.rpc import byte_service, connected, message_service

CLOCK = FakeClock()
RUN, OTHER_RUN = RunId(2**64 - 1), RunId(5)
TOKEN, ENDED = new_token(), new_token()
LEASE = Lease(
    token_hash=hash_token(TOKEN),
    kind=AppKind.SERVERAPP,
    run_id=RUN,
    message_id=None,
    granted_at=CLOCK.now(),
    until=CLOCK.now() + timedelta(minutes=1),
)
SERVICE = "/flwr.proto.ServerAppIo/"
HEADER = (("flwr-app-token", TOKEN),)
SECRET = SuperExecSecret.derive(b"secret")
GET_NODES = SERVICE + "GetNodes"
Headers = tuple[tuple[str, str], ...]
Call = Callable[[str, Any, Headers], Awaitable[Any]]


class Servicer:
    """Notes by which lease it was called."""

    def __init__(self) -> None:
        self.leases: list[Lease] = []
        self.superexecs = 0

    async def get_nodes(self, request: Any, context: Any) -> Any:
        self.leases.append(calling_lease(context))
        return serverappio_pb2.GetNodesResponse()

    async def push_app_outputs(self, request: Any, context: Any) -> Any:
        self.leases.append(calling_lease())
        return appio_pb2.PushAppOutputsResponse()

    async def send_app_heartbeat(self, request: Any, context: Any) -> Any:
        self.leases.append(calling_lease())
        return heartbeat_pb2.SendAppHeartbeatResponse(success=True)

    async def push_logs(self, request: Any, context: Any) -> Any:
        self.leases.append(calling_lease())
        return log_pb2.PushLogsResponse()

    async def request_token(self, request: Any, context: Any) -> Any:
        self.superexecs += 1
        return appio_pb2.RequestTokenResponse(token="t")

    async def report_exit(self, request: Any, context: Any) -> Any:
        self.superexecs += 1
        return launches_pb2.ReportExitResponse()

    def methods(self) -> dict[str, tuple[type[Message], Any]]:
        return {
            "GetNodes": (serverappio_pb2.GetNodesRequest, self.get_nodes),
            "PushAppOutputs": (appio_pb2.PushAppOutputsRequest, self.push_app_outputs),
            "SendAppHeartbeat": (heartbeat_pb2.SendAppHeartbeatRequest, self.send_app_heartbeat),
            "PushLogs": (log_pb2.PushLogsRequest, self.push_logs),
            "RequestToken": (appio_pb2.RequestTokenRequest, self.request_token),
        }


async def find_lease(token_hash: str) -> Lease | None:
    return LEASE if token_hash == LEASE.token_hash else None


async def find_lease_of_run(run_id: RunId) -> Lease | None:
    return LEASE if run_id == RUN else None


async def reached(_request: bytes, _rpc: Any) -> bytes:
    raise AssertionError("an unlisted method was reached")


def run(scenario: Callable[[Call], Awaitable[None]], **options: Any) -> Servicer:
    servicer = Servicer()

    async def play() -> None:
        guard = AppTokenInterceptor(find_lease, clock=CLOCK, **options)
        services = (
            message_service("flwr.proto.ServerAppIo", servicer.methods()),
            byte_service("flwr.proto.ClientAppIo", {"Unlisted": reached}),
            message_service(
                "flwr.compose.v1.Launches",
                {"ReportExit": (launches_pb2.ReportExitRequest, servicer.report_exit)},
            ),
        )
        async with connected(*services, interceptors=chain(guard)) as channel:

            async def call(method: str, request: Any, headers: Headers = ()) -> Any:
                try:
                    return await channel.unary_unary(method)(
                        request.SerializeToString(deterministic=True), metadata=headers
                    )
                except grpc.aio.AioRpcError as error:
                    raise from_rpc_error(error, method=method) from error

            await scenario(call)

    asyncio.run(play())
    return servicer


def refusal(method: str, request: Any, headers: Headers = (), **options: Any) -> FlwrError:
    caught: list[FlwrError] = []

    async def scenario(call: Call) -> None:
        with pytest.raises(FlwrError) as raised:
            await call(method, request, headers)
        caught.append(raised.value)

    servicer = run(scenario, **options)
    assert not servicer.leases
    assert not servicer.superexecs
    return caught[0]


def test_a_live_token_reaches_the_servicer_with_its_lease() -> None:
    async def scenario(call: Call) -> None:
        await call(GET_NODES, serverappio_pb2.GetNodesRequest(run_id=RUN), HEADER)
        await call(SERVICE + "PushAppOutputs", appio_pb2.PushAppOutputsRequest(), HEADER)

    assert run(scenario).leases == [LEASE, LEASE]


@pytest.mark.row("F21", "F23")
@pytest.mark.parametrize(
    "headers",
    [
        (),
        (("flwr-app-token", ""),),
        (("flwr-app-token", ENDED),),
        (("flwr-app-token", TOKEN), ("flwr-app-token", TOKEN)),
        (("flwr-app-token", hash_token(TOKEN)),),
    ],
)
def test_anything_but_one_live_token_is_refused(
    headers: Headers, caplog: pytest.LogCaptureFixture
) -> None:
    request = serverappio_pb2.GetNodesRequest(run_id=RUN)

    with caplog.at_level(logging.WARNING):
        error = refusal(GET_NODES, request, headers)

    assert error.kind is ErrorKind.UNAUTHENTICATED
    assert error.message == "Authentication failed."
    assert [vars(line)["method"] for line in caplog.records] == [GET_NODES]
    assert TOKEN not in caplog.text


@pytest.mark.row("F21")
def test_a_body_token_alone_is_refused_by_default() -> None:
    request = heartbeat_pb2.SendAppHeartbeatRequest(token=TOKEN)

    assert refusal(SERVICE + "SendAppHeartbeat", request).kind is ErrorKind.UNAUTHENTICATED


@pytest.mark.row("F23")
def test_a_token_of_another_run_is_refused() -> None:
    nodes = serverappio_pb2.GetNodesRequest(run_id=OTHER_RUN)
    logs = log_pb2.PushLogsRequest(run_id=OTHER_RUN)

    assert refusal(GET_NODES, nodes, HEADER).kind is ErrorKind.DENIED
    assert refusal(SERVICE + "PushLogs", logs, HEADER).kind is ErrorKind.DENIED


def test_older_processes_are_served_by_body_token_or_run_when_allowed() -> None:
    async def scenario(call: Call) -> None:
        heartbeat = heartbeat_pb2.SendAppHeartbeatRequest(token=TOKEN)
        await call(SERVICE + "SendAppHeartbeat", heartbeat, ())
        await call(GET_NODES, serverappio_pb2.GetNodesRequest(run_id=RUN), ())

    served = run(scenario, accept_body_tokens=True, find_lease_of_run=find_lease_of_run)

    assert served.leases == [LEASE, LEASE]


def test_older_processes_are_refused_in_words_they_know() -> None:
    options: dict[str, Any] = {"accept_body_tokens": True, "find_lease_of_run": find_lease_of_run}
    heartbeat = heartbeat_pb2.SendAppHeartbeatRequest(token=ENDED)
    nodes = serverappio_pb2.GetNodesRequest(run_id=OTHER_RUN)
    outputs = appio_pb2.PushAppOutputsRequest(token=TOKEN, run_id=OTHER_RUN)

    by_token = refusal(SERVICE + "SendAppHeartbeat", heartbeat, **options)
    by_run = refusal(GET_NODES, nodes, **options)
    by_both = refusal(SERVICE + "PushAppOutputs", outputs, **options)

    assert by_token.kind is by_run.kind is by_both.kind is ErrorKind.DENIED
    assert by_token.message == by_run.message == "Invalid token."


def test_without_a_secret_launches_are_open() -> None:
    async def scenario(call: Call) -> None:
        await call(SERVICE + "RequestToken", appio_pb2.RequestTokenRequest(run_id=RUN), ())

    assert run(scenario).superexecs == 1


@pytest.mark.row("F22")
def test_with_a_secret_only_its_holder_gets_tokens_and_each_proof_works_once() -> None:
    method, request = SERVICE + "RequestToken", appio_pb2.RequestTokenRequest(run_id=RUN)
    body = request.SerializeToString(deterministic=True)
    headers = sign_call(SECRET, method, body, at=CLOCK.now())

    async def scenario(call: Call) -> None:
        await call(method, request, headers)
        with pytest.raises(FlwrError, match=r"Authentication failed\."):
            await call(method, request, headers)
        with pytest.raises(FlwrError, match=r"Authentication failed\."):
            await call(method, request, ())

    assert run(scenario, superexec=SuperExecVerifier(SECRET)).superexecs == 1


@pytest.mark.row("F21")
def test_the_end_of_a_launch_is_reported_by_its_superexec_or_by_itself() -> None:
    ended = launches_pb2.ReportExitRequest(token=TOKEN, exit_code=70)
    proof = sign_call(SECRET, REPORT_EXIT, ended.SerializeToString(), at=CLOCK.now())

    async def scenario(call: Call) -> None:
        await call(REPORT_EXIT, ended, proof)
        await call(REPORT_EXIT, ended, HEADER)

    assert run(scenario, superexec=SuperExecVerifier(SECRET)).superexecs == 2
    strict = {"superexec": SuperExecVerifier(SECRET)}
    other = launches_pb2.ReportExitRequest(token="another's", exit_code=70)
    for request, headers in (
        (ended, ()),
        (other, HEADER),
        (ended, (("flwr-app-token", "dead"),)),
    ):
        assert isinstance(refusal(REPORT_EXIT, request, headers, **strict), UnauthenticatedError)


def test_a_method_outside_the_table_is_refused_even_with_a_token() -> None:
    method = "/flwr.proto.ClientAppIo/Unlisted"

    error = refusal(method, serverappio_pb2.GetNodesRequest(run_id=RUN), HEADER)

    assert error.kind is ErrorKind.UNAUTHENTICATED
