"""Edge of our own services beside ClientAppIo: launches in two calls, and what apps print."""

from functools import partial

import grpc
from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.proto import appio_pb2
from flwr.proto.compose.v1 import launches_pb2, launches_pb2_grpc, logs_pb2, logs_pb2_grpc
from flwr.shell.in_thread import AtOnce, in_thread
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.handover import Handover
from flwr.supernode.launches import WholeLaunch, WholeLaunches
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.app_inputs import encode_fab, encode_inputs
from flwr.supernode.rpc.waiting import WaitingExecutors
from flwr.wire import metadata
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc, header


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


class WholeLaunchesServicer(launches_pb2_grpc.WholeLaunchesServicer):
    """Called by our own SuperExec and its runners."""

    def __init__(
        self,
        launches: WholeLaunches,
        logs: AppLogs,
        waiting: WaitingExecutors,
        handover: Handover,
        at_once: AtOnce,
    ) -> None:
        self._launches, self._logs, self._at_once = launches, logs, at_once
        self._waiting, self._handover = waiting, handover

    async def Take(self, request: launches_pb2.TakeRequest, rpc: Rpc) -> launches_pb2.TakeResponse:
        """Hold the call until a launch can be granted, and hand over all of it."""
        choice = metadata.read_only_apps(header(rpc, metadata.ONLY_APPS))
        waiter = self._handover.enter(choice, frozenset(request.bundles))
        try:
            look = partial(self._handover.look, waiter)
            taken = await self._waiting.until(choice, look) or waiter.pick_up()
        finally:
            self._handover.leave(waiter)
        if taken is None:
            await self._waiting.say_what_waits()
            return launches_pb2.TakeResponse()
        return _encode_taken(taken)

    async def Finish(
        self, request: launches_pb2.FinishRequest, rpc: Rpc
    ) -> launches_pb2.FinishResponse:
        """Take output, reply and context, and end the launch."""
        lease, reply, context = calling_lease(rpc), None, b""
        try:
            if request.reply:
                push = appio_pb2.PushAppMessagesRequest.FromString(request.reply)
                reply = read_deliveries(push, at_most=1)[0] if push.messages_list else None
            outputs = appio_pb2.PushAppOutputsRequest.FromString(request.outputs)
            context = outputs.context.SerializeToString(deterministic=True)
        except DecodeError as cause:
            raise InvalidError("the outcome of this launch cannot be read") from cause
        if request.logs:
            await self._logs.take(lease.run_id, list(request.logs))
        await self._at_once(self._launches.finish, lease, reply, context)
        return launches_pb2.FinishResponse()


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


def _encode_taken(taken: WholeLaunch) -> launches_pb2.TakeResponse:
    inputs, message = taken.inputs, appio_pb2.PullAppMessagesResponse()
    write_deliveries(message, [taken.delivery])
    return launches_pb2.TakeResponse(
        token=taken.token,
        run_id=inputs.run.run_id,
        fab=encode_fab(inputs),
        inputs=encode_inputs(inputs).SerializeToString(),
        message=message.SerializeToString(),
    )


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
