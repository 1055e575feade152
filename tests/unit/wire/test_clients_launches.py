"""The SuperExec's client against a guarded AppIo port."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import grpc
import pytest

from flwr.auth.superexec_auth import SuperExecSecret, SuperExecVerifier
from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.errors import UnauthenticatedError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind, Lease
from flwr.proto import appio_pb2, run_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata
from flwr.wire.channel import open_aio_channel
from flwr.wire.clients.launches import LaunchesClient
from flwr.wire.interceptors.app_token import AppTokenInterceptor
from flwr.wire.interceptors.guarding import header
from flwr.wire.server import Register, chain
from tests.fakes.clock import FakeClock
from tests.fakes.rpc import message_service, serving

CLOCK = FakeClock()
RUN, UNKNOWN_RUN = RunId(2**64 - 1), RunId(3)
SECRET = SuperExecSecret.derive(b"secret")


class AppIo:
    """A daemon with one launch to give away."""

    def __init__(self) -> None:
        self.exits: list[tuple[str, int, str]] = []
        self.only_apps: str | None = None

    async def list_apps(self, request: Any, rpc: Any) -> Any:
        self.only_apps = header(rpc, metadata.ONLY_APPS)
        return appio_pb2.ListAppsToLaunchResponse(run_ids=[RUN])

    async def request_token(self, request: Any, rpc: Any) -> Any:
        return appio_pb2.RequestTokenResponse(token="token" if request.run_id == RUN else "")

    async def get_run(self, request: Any, rpc: Any) -> Any:
        if request.run_id != RUN:
            return run_pb2.GetRunResponse()
        status = run_pb2.RunStatus(status="starting")
        run = run_pb2.Run(run_id=RUN, run_type="simulation", status=status)
        return run_pb2.GetRunResponse(run=run)

    async def report_exit(self, request: Any, rpc: Any) -> Any:
        self.exits.append((request.token, request.exit_code, request.cause))
        return launches_pb2.ReportExitResponse()

    def services(self, kind: AppKind) -> tuple[Register, Register]:
        name = "ServerAppIo" if kind is AppKind.SERVERAPP else "ClientAppIo"
        appio: dict[str, Any] = {
            "ListAppsToLaunch": (appio_pb2.ListAppsToLaunchRequest, self.list_apps),
            "RequestToken": (appio_pb2.RequestTokenRequest, self.request_token),
            "GetRun": (run_pb2.GetRunRequest, self.get_run),
        }
        report = {"ReportExit": (launches_pb2.ReportExitRequest, self.report_exit)}
        return (
            message_service(f"flwr.proto.{name}", appio),
            message_service("flwr.compose.v1.Launches", report),
        )


async def no_lease(_token_hash: str) -> Lease | None:
    return None


def played(
    scenario: Callable[[LaunchesClient], Awaitable[Any]],
    services: tuple[Register, ...],
    *,
    kind: AppKind = AppKind.SERVERAPP,
    secret: SuperExecSecret | None = SECRET,
    only_apps: AppChoice = EVERY_APP,
) -> Any:
    async def play() -> Any:
        guard = AppTokenInterceptor(no_lease, clock=CLOCK, superexec=SuperExecVerifier(SECRET))
        async with (
            serving(*services, interceptors=chain(guard)) as server,
            open_aio_channel(server.address, None) as channel,
        ):
            client = LaunchesClient(channel, kind, clock=CLOCK, secret=secret, only_apps=only_apps)
            return await scenario(client)

    return asyncio.run(play())


@pytest.mark.row("F22")
@pytest.mark.parametrize("kind", list(AppKind))
def test_a_superexec_with_the_secret_lists_claims_and_reports(kind: AppKind) -> None:
    appio = AppIo()

    async def work(client: LaunchesClient) -> list[Any]:
        await client.report_exit("token", -9, "killed")
        return [
            await client.list_apps(),
            await client.request_token(RUN),
            await client.request_token(UNKNOWN_RUN),
            await client.get_run(RUN),
            await client.get_run(UNKNOWN_RUN),
        ]

    listed, token, none, run, unknown = played(work, appio.services(kind), kind=kind)

    assert (listed, token, none, unknown) == ([RUN], "token", "", None)
    assert (run.run_id, run.run_type) == (RUN, "simulation")
    assert appio.exits == [("token", -9, "killed")]


@pytest.mark.row("F22")
def test_a_superexec_without_the_secret_gets_nothing() -> None:
    async def work(client: LaunchesClient) -> None:
        with pytest.raises(UnauthenticatedError):
            await client.list_apps()
        with pytest.raises(UnauthenticatedError):
            await client.request_token(RUN)

    played(work, AppIo().services(AppKind.SERVERAPP), secret=None)


def test_an_exit_report_that_the_daemon_does_not_know_is_dropped() -> None:
    async def refuse(_request: Any, rpc: Any) -> Any:
        await rpc.abort(grpc.StatusCode.UNAUTHENTICATED, "Authentication failed.")
        raise AssertionError

    async def report(client: LaunchesClient) -> None:
        await client.report_exit("token", 1, "failed")

    played(report, ())
    refusing = {"ReportExit": (launches_pb2.ReportExitRequest, refuse)}
    played(report, (message_service("flwr.compose.v1.Launches", refusing),))


@pytest.mark.row("S27")
def test_the_chosen_apps_travel_with_the_list_call_only_when_there_is_a_choice() -> None:
    said = []
    for choice in (EVERY_APP, AppChoice(frozenset({"lab/two", "lab/one"}))):
        appio = AppIo()
        played(LaunchesClient.list_apps, appio.services(AppKind.SERVERAPP), only_apps=choice)
        said.append(appio.only_apps)
    assert said == [None, "lab/one,lab/two"]
