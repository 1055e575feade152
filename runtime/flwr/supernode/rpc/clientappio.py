"""Edge of the ClientAppIo API: decode, call one operation, encode.  No rules live here."""

import grpc

from flwr.core.ids import ObjectId, RunId
from flwr.proto import (
    appio_pb2,
    clientappio_pb2_grpc,
    heartbeat_pb2,
    message_pb2,
    run_pb2,
)
from flwr.shell.in_thread import in_thread, threaded
from flwr.shell.returning import Returning
from flwr.supernode.apps import AppSessions
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.app_inputs import encode_fab, encode_inputs
from flwr.supernode.rpc.waiting import WaitingExecutors
from flwr.wire import metadata
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries
from flwr.wire.codec.runs import encode_run
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc, header


class ClientAppIoServicer(clientappio_pb2_grpc.ClientAppIoServicer):
    """What SuperExecs and ClientApps of this site call."""

    def __init__(self, leases: AppLeases, apps: AppSessions, waiting: WaitingExecutors) -> None:
        self._leases, self._apps, self._waiting = leases, apps, waiting
        self._returning = Returning()

    async def ListAppsToLaunch(
        self, _request: appio_pb2.ListAppsToLaunchRequest, rpc: Rpc
    ) -> appio_pb2.ListAppsToLaunchResponse:
        """Hold the call until an app of the caller's choice may be launched."""
        choice = metadata.read_only_apps(header(rpc, metadata.ONLY_APPS))

        async def look() -> list[RunId] | None:
            return await in_thread(self._leases.runs_to_launch, choice) or None

        run_ids = await self._waiting.until(choice, look)
        await self._waiting.say_what_waits()
        return appio_pb2.ListAppsToLaunchResponse(run_ids=run_ids or ())

    async def RequestToken(
        self, request: appio_pb2.RequestTokenRequest, _rpc: Rpc
    ) -> appio_pb2.RequestTokenResponse:
        """Grant a launch; an empty token means that somebody else has it."""
        grant = in_thread(self._leases.grant, RunId(request.run_id))
        token = await self._returning.take(grant, threaded(self._leases.take_back))
        return appio_pb2.RequestTokenResponse(token=token or "")

    async def GetRun(self, request: run_pb2.GetRunRequest, _rpc: Rpc) -> run_pb2.GetRunResponse:
        """Return a run; an unknown one is an empty answer (wire contract §20 no. 13)."""
        run = await in_thread(self._apps.find_run, RunId(request.run_id))
        return run_pb2.GetRunResponse(run=encode_run(run) if run is not None else None)

    async def SendAppHeartbeat(
        self, _request: heartbeat_pb2.SendAppHeartbeatRequest, rpc: Rpc
    ) -> heartbeat_pb2.SendAppHeartbeatResponse:
        """Renew the lease."""
        next_in = metadata.read_heartbeat(header(rpc, metadata.HEARTBEAT_S))
        token_hash = calling_lease(rpc).token_hash
        lives = await in_thread(self._leases.heartbeat, token_hash, next_in=next_in)
        return heartbeat_pb2.SendAppHeartbeatResponse(success=lives)

    async def PullAppInputs(
        self, _request: appio_pb2.PullAppInputsRequest, rpc: Rpc
    ) -> appio_pb2.PullAppInputsResponse:
        """Return context, run and bundle."""
        inputs = await in_thread(self._apps.inputs, calling_lease(rpc))
        response = encode_inputs(inputs)
        response.fab.CopyFrom(encode_fab(inputs))
        return response

    async def PullMessage(
        self, _request: appio_pb2.PullAppMessagesRequest, rpc: Rpc
    ) -> appio_pb2.PullAppMessagesResponse:
        """Return the one instruction of the launch."""
        encloses = header(rpc, metadata.ENCLOSE) is not None
        delivery = await in_thread(self._apps.message, calling_lease(rpc), whole=encloses)
        response = appio_pb2.PullAppMessagesResponse()
        write_deliveries(response, [delivery])
        return response

    async def PushMessage(
        self, request: appio_pb2.PushAppMessagesRequest, rpc: Rpc
    ) -> appio_pb2.PushAppMessagesResponse:
        """Take the reply."""
        if not request.messages_list:
            return appio_pb2.PushAppMessagesResponse()
        reply = read_deliveries(request, at_most=1)[0]
        message_id, missing = await in_thread(self._apps.accept_reply, calling_lease(rpc), reply)
        return appio_pb2.PushAppMessagesResponse(message_ids=[message_id], objects_to_push=missing)

    async def PullObject(
        self, request: message_pb2.PullObjectRequest, rpc: Rpc
    ) -> message_pb2.PullObjectResponse:
        """Return an object of the launch's run."""
        object_id = ObjectId(request.object_id)
        found = await in_thread(self._apps.objects.get, calling_lease(rpc), object_id)
        return message_pb2.PullObjectResponse(
            object_found=found.is_known,
            object_available=found.content is not None,
            object_content=found.content or b"",
        )

    async def PushObject(
        self, request: message_pb2.PushObjectRequest, rpc: Rpc
    ) -> message_pb2.PushObjectResponse:
        """Take an object of the reply."""
        stored = await in_thread(
            self._apps.objects.put,
            calling_lease(rpc),
            ObjectId(request.object_id),
            request.object_content,
        )
        return message_pb2.PushObjectResponse(stored=stored)

    async def ConfirmMessageReceived(
        self, _request: message_pb2.ConfirmMessageReceivedRequest, _rpc: Rpc
    ) -> message_pb2.ConfirmMessageReceivedResponse:
        """Take note; the instruction is kept until its reply has left, so that it can run again."""
        return message_pb2.ConfirmMessageReceivedResponse()

    async def PushAppOutputs(
        self, request: appio_pb2.PushAppOutputsRequest, rpc: Rpc
    ) -> appio_pb2.PushAppOutputsResponse:
        """Keep the context and end the launch."""
        context = request.context.SerializeToString()
        await in_thread(self._apps.finish, calling_lease(rpc), context)
        return appio_pb2.PushAppOutputsResponse()

    async def PullClientAppInputs(
        self, request: appio_pb2.PullAppInputsRequest, rpc: Rpc
    ) -> appio_pb2.PullAppInputsResponse:
        """Serve app processes of 1.24 and 1.25 (wire contract §1.4)."""
        return await self.PullAppInputs(request, rpc)

    async def PushClientAppOutputs(
        self, request: appio_pb2.PushAppOutputsRequest, rpc: Rpc
    ) -> appio_pb2.PushAppOutputsResponse:
        """Serve app processes of 1.24 and 1.25 (wire contract §1.4)."""
        return await self.PushAppOutputs(request, rpc)


def add_clientappio(servicer: ClientAppIoServicer, server: grpc.aio.Server) -> None:
    """Serve the ClientAppIo API on ``server``."""
    clientappio_pb2_grpc.add_ClientAppIoServicer_to_server(servicer, server)
