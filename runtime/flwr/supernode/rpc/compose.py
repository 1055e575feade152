"""Edge of our own services beside ClientAppIo: launches in two calls, and what apps print."""

import grpc

from flwr.core.errors import UnimplementedError
from flwr.proto.compose.v1 import launches_pb2, launches_pb2_grpc, logs_pb2, logs_pb2_grpc
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.handover import Handover
from flwr.supernode.rpc.tube import TubeDesks
from flwr.supernode.rpc.waiting import WaitingExecutors
from flwr.supernode.rpc.whole_launch import LaunchEnds, encode_taken
from flwr.wire import metadata
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc, header


class LaunchesServicer(launches_pb2_grpc.LaunchesServicer):
    """Called by our own SuperExec."""

    def __init__(self, ends: LaunchEnds) -> None:
        self._ends = ends

    async def ReportExit(
        self, request: launches_pb2.ReportExitRequest, _rpc: Rpc
    ) -> launches_pb2.ReportExitResponse:
        """Take note that a runner has ended."""
        await self._ends.report_exit(request)
        return launches_pb2.ReportExitResponse()


class WholeLaunchesServicer(launches_pb2_grpc.WholeLaunchesServicer):
    """Called by our own SuperExec and its runners."""

    def __init__(
        self,
        ends: LaunchEnds,
        waiting: WaitingExecutors,
        handover: Handover,
        desks: TubeDesks | None = None,
    ) -> None:
        self._ends, self._desks = ends, desks
        self._waiting, self._handover = waiting, handover

    async def Take(self, request: launches_pb2.TakeRequest, rpc: Rpc) -> launches_pb2.TakeResponse:
        """Hold the call until a launch can be granted, and hand over all of it."""
        choice = metadata.read_only_apps(header(rpc, metadata.ONLY_APPS))
        taken = await self._handover.wait(choice, frozenset(request.bundles))
        if taken is None:
            await self._waiting.say_what_waits()
            return launches_pb2.TakeResponse()
        return encode_taken(taken)

    async def Finish(
        self, request: launches_pb2.FinishRequest, rpc: Rpc
    ) -> launches_pb2.FinishResponse:
        """Take output, reply and context, and end the launch."""
        await self._ends.finish(calling_lease(rpc), request)
        return launches_pb2.FinishResponse()

    async def OpenTube(self, _request: launches_pb2.OpenTubeRequest, rpc: Rpc) -> launches_pb2.Tube:
        """Invite an executor of this machine to do all this past gRPC."""
        if self._desks is None:
            raise UnimplementedError("there are no tubes on this machine")
        invited = self._desks.invite(metadata.read_only_apps(header(rpc, metadata.ONLY_APPS)))
        return launches_pb2.Tube(address=invited.address, ticket=invited.ticket)


class AppLogsServicer(logs_pb2_grpc.AppLogsServicer):
    """Called by our own runners of ClientApps."""

    def __init__(self, logs: AppLogs) -> None:
        self._logs = logs

    async def PushAppLogs(
        self, request: logs_pb2.PushAppLogsRequest, rpc: Rpc
    ) -> logs_pb2.PushAppLogsResponse:
        """Keep what an app printed."""
        await self._logs.take(calling_lease(rpc).run_id, list(request.logs))
        return logs_pb2.PushAppLogsResponse()


def add_compose(
    launches: LaunchesServicer,
    whole: WholeLaunchesServicer,
    logs: AppLogsServicer,
    server: grpc.aio.Server,
) -> None:
    """Serve our own additions on ``server``."""
    launches_pb2_grpc.add_WholeLaunchesServicer_to_server(whole, server)
    launches_pb2_grpc.add_LaunchesServicer_to_server(launches, server)
    logs_pb2_grpc.add_AppLogsServicer_to_server(logs, server)
