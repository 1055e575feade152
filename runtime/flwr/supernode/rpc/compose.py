"""Edge of our own services beside ClientAppIo: what became of launches, and what apps print."""

import grpc

from flwr.proto.compose.v1 import launches_pb2, launches_pb2_grpc, logs_pb2, logs_pb2_grpc
from flwr.shell.in_thread import in_thread
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.leases import AppLeases
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc


class LaunchesServicer(launches_pb2_grpc.LaunchesServicer):
    """Called by our own SuperExec."""

    def __init__(self, leases: AppLeases) -> None:
        self._leases = leases

    async def ReportExit(
        self, request: launches_pb2.ReportExitRequest, _rpc: Rpc
    ) -> launches_pb2.ReportExitResponse:
        """Take note that a runner has ended."""
        await in_thread(
            self._leases.report_exit,
            request.token,
            exit_code=request.exit_code,
            cause=request.cause or f"exited with code {request.exit_code}",
            stopped=request.stopped,
        )
        return launches_pb2.ReportExitResponse()


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


def add_compose(launches: LaunchesServicer, logs: AppLogsServicer, server: grpc.aio.Server) -> None:
    """Serve our own additions on ``server``."""
    launches_pb2_grpc.add_LaunchesServicer_to_server(launches, server)
    logs_pb2_grpc.add_AppLogsServicer_to_server(logs, server)
