"""Edge of the ClientAppIo API: decode, call one operation, encode.  No rules live here."""

import logging

import grpc

from flwr.core.ids import ObjectId, RunId
from flwr.core.limits import LONG_POLL
from flwr.proto import (
    appio_pb2,
    clientappio_pb2_grpc,
    fab_pb2,
    heartbeat_pb2,
    message_pb2,
    run_pb2,
)
from flwr.shell.executors import Executors
from flwr.shell.in_thread import in_thread, threaded
from flwr.shell.returning import Returning
from flwr.shell.wakeups import Wakeups
from flwr.supernode.apps import AppInputs, AppSessions
from flwr.supernode.leases import AppLeases
from flwr.wire import metadata
from flwr.wire.codec.config import new_context
from flwr.wire.codec.deliveries import read_deliveries
from flwr.wire.codec.messages import encode_deliveries
from flwr.wire.codec.runs import encode_run
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc, header

logger = logging.getLogger(__name__)


class ClientAppIoServicer(clientappio_pb2_grpc.ClientAppIoServicer):
    """What SuperExecs and ClientApps of this site call."""

    def __init__(
        self, leases: AppLeases, apps: AppSessions, wakeups: Wakeups, executors: Executors
    ) -> None:
        self._leases, self._apps, self._wakeups = leases, apps, wakeups
        self._executors = executors
        self._said: set[RunId] = set()  # to wait for an executor of another app
        self._returning = Returning()

    async def ListAppsToLaunch(
        self, _request: appio_pb2.ListAppsToLaunchRequest, rpc: Rpc
    ) -> appio_pb2.ListAppsToLaunchResponse:
        """Hold the call until an app of the caller's choice may be launched."""
        choice = metadata.read_only_apps(header(rpc, metadata.ONLY_APPS))

        async def look() -> list[RunId] | None:
            return await in_thread(self._leases.runs_to_launch, choice) or None

        with self._executors.asking(choice):
            run_ids = await self._wakeups.until({"apps"}, look, timeout=LONG_POLL)
            await self._say_what_waits()
        return appio_pb2.ListAppsToLaunchResponse(run_ids=run_ids or ())

    async def _say_what_waits(self) -> None:
        served = self._executors.served()
        if served is None or served.fab_ids is None:
            return
        waiting = await in_thread(self._leases.unserved, served)
        for run_id in waiting.keys() - self._said:
            logger.warning(
                "A run waits for an executor that serves its app",
                extra={
                    "event": "app-unserved",
                    "run_id": run_id,
                    "app": waiting[run_id],
                    "served": str(served),
                    "remedy": f"start a SuperExec with --only-apps {waiting[run_id]}",
                },
            )
        self._said = set(waiting)

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
        fab = inputs.fab
        return appio_pb2.PullAppInputsResponse(
            context=_encode_context(inputs),
            run=encode_run(inputs.run),
            fab=fab_pb2.Fab(
                hash_str=fab.hash, content=fab.content, verifications=dict(fab.verifications)
            ),
        )

    async def PullMessage(
        self, _request: appio_pb2.PullAppMessagesRequest, rpc: Rpc
    ) -> appio_pb2.PullAppMessagesResponse:
        """Return the one instruction of the launch."""
        delivery = await in_thread(self._apps.message, calling_lease(rpc))
        messages, trees = encode_deliveries([delivery])
        return appio_pb2.PullAppMessagesResponse(messages_list=messages, message_object_trees=trees)

    async def PushMessage(
        self, request: appio_pb2.PushAppMessagesRequest, rpc: Rpc
    ) -> appio_pb2.PushAppMessagesResponse:
        """Take the reply."""
        if not request.messages_list:
            return appio_pb2.PushAppMessagesResponse()
        reply = read_deliveries(request, at_most=1)[0]
        message_id, missing = await in_thread(
            self._apps.accept_reply, calling_lease(rpc), reply.envelope, reply.tree, reply.contents
        )
        return appio_pb2.PushAppMessagesResponse(message_ids=[message_id], objects_to_push=missing)

    async def PullObject(
        self, request: message_pb2.PullObjectRequest, rpc: Rpc
    ) -> message_pb2.PullObjectResponse:
        """Return an object of the launch's run."""
        object_id = ObjectId(request.object_id)
        found = await in_thread(self._apps.get_object, calling_lease(rpc), object_id)
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
            self._apps.put_object,
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


def _encode_context(inputs: AppInputs) -> message_pb2.Context:
    """Return the context: the state the last app left, everything else as it is today."""
    context = new_context(
        inputs.run.run_id,
        inputs.node_id,
        node_config=inputs.node_config,
        run_config=inputs.run_config,
    )
    if inputs.context is not None:
        context.state.CopyFrom(message_pb2.Context.FromString(inputs.context).state)
    return context
