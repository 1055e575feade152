"""Edge of the ServerAppIo API: SuperExecs that launch ServerApps, and the ServerApps themselves."""

from collections.abc import Sequence
from functools import partial
from typing import Final

import grpc

from flwr.auth.app_tokens import WrongRunError
from flwr.core.errors import FailedPreconditionError, UnimplementedError
from flwr.core.ids import SUPERLINK_NODE, MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import AT_ONCE_BYTES, LONG_POLL, ONLINE_NODES
from flwr.proto import (
    appio_pb2,
    fab_pb2,
    heartbeat_pb2,
    log_pb2,
    message_pb2,
    node_pb2,
    run_pb2,
    serverappio_pb2,
    serverappio_pb2_grpc,
)
from flwr.proto.compose.v1 import launches_pb2, launches_pb2_grpc
from flwr.shell.executors import Executors
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, in_thread, threaded
from flwr.shell.returning import Returning
from flwr.shell.wakeups import Wakeups
from flwr.superlink import topics
from flwr.superlink.launches import Inputs, Launches
from flwr.superlink.logs import Logs
from flwr.superlink.messages import Enqueued, MessageExchange
from flwr.superlink.nodes import Nodes
from flwr.superlink.objects import Objects
from flwr.superlink.rpc.objects import encode_pulled, pull_held
from flwr.superlink.runs import Runs
from flwr.superlink.takers import Takers
from flwr.wire import metadata
from flwr.wire.codec.config import encode_simulation, new_context
from flwr.wire.codec.deliveries import read_deliveries, read_received, write_deliveries
from flwr.wire.codec.runs import decode_run_status, encode_run
from flwr.wire.interceptors.app_token import calling_lease
from flwr.wire.interceptors.guarding import Rpc, header

_FEW: Final = 32  # messages; with more of them a call is handed to a thread


class ServerAppIoServicer(serverappio_pb2_grpc.ServerAppIoServicer):
    """Serves the server side's SuperExec and its apps."""

    def __init__(
        self,
        *,
        launches: Launches,
        executors: Executors,
        runs: Runs,
        nodes: Nodes,
        messages: MessageExchange,
        objects: Objects,
        logs: Logs,
        wakeups: Wakeups,
        at_once: AtOnce,
        takers: Takers,
    ) -> None:
        self._launches, self._runs, self._nodes = launches, runs, nodes
        self._messages, self._objects, self._logs = messages, objects, logs
        self._wakeups, self._executors = wakeups, executors
        self._at_once, self._takers = at_once, takers
        self._returning = Returning()

    async def ListAppsToLaunch(
        self, _request: appio_pb2.ListAppsToLaunchRequest, rpc: Rpc
    ) -> appio_pb2.ListAppsToLaunchResponse:
        """Return the pending runs of the caller's apps; held until there is one."""
        choice = metadata.read_only_apps(header(rpc, metadata.ONLY_APPS))

        async def attempt() -> list[RunId] | None:
            return await in_thread(self._launches.pending, choice) or None

        with self._executors.asking(choice):
            pending = await self._wakeups.until([topics.APPS], attempt, timeout=LONG_POLL)
        return appio_pb2.ListAppsToLaunchResponse(run_ids=pending or [])

    async def RequestToken(
        self, request: appio_pb2.RequestTokenRequest, _rpc: Rpc
    ) -> appio_pb2.RequestTokenResponse:
        """Grant the launch of a pending run; an empty token refuses it."""
        grant = in_thread(self._launches.grant, RunId(request.run_id))
        token = await self._returning.take(grant, threaded(self._launches.take_back))
        return appio_pb2.RequestTokenResponse(token=token)

    async def GetRun(self, request: run_pb2.GetRunRequest, _rpc: Rpc) -> run_pb2.GetRunResponse:
        """Return a run; an unknown one gives an empty response (wire contract §20 no. 13)."""
        run = await in_thread(self._runs.lookup, RunId(request.run_id))
        return run_pb2.GetRunResponse(run=encode_run(run) if run else None)

    async def SendAppHeartbeat(
        self, _request: heartbeat_pb2.SendAppHeartbeatRequest, rpc: Rpc
    ) -> heartbeat_pb2.SendAppHeartbeatResponse:
        """Renew the caller's lease."""
        next_in = metadata.read_heartbeat(header(rpc, metadata.HEARTBEAT_S))
        token_hash = calling_lease().token_hash
        is_alive = await in_thread(self._launches.heartbeat, token_hash, next_in=next_in)
        return heartbeat_pb2.SendAppHeartbeatResponse(success=is_alive)

    async def PullAppInputs(
        self, _request: appio_pb2.PullAppInputsRequest, _rpc: Rpc
    ) -> appio_pb2.PullAppInputsResponse:
        """Hand the run's inputs to its ServerApp, once."""
        token_hash = calling_lease().token_hash
        return _encode_inputs(await in_thread(self._launches.pull_inputs, token_hash))

    async def PushAppOutputs(
        self, request: appio_pb2.PushAppOutputsRequest, _rpc: Rpc
    ) -> appio_pb2.PushAppOutputsResponse:
        """Keep the context with which the ServerApp ended."""
        run_id = _own_run(request.run_id or calling_lease().run_id)
        content = request.context.SerializeToString()
        await in_thread(self._launches.push_outputs, run_id, content)
        return appio_pb2.PushAppOutputsResponse()

    async def UpdateRunStatus(
        self, request: run_pb2.UpdateRunStatusRequest, _rpc: Rpc
    ) -> run_pb2.UpdateRunStatusResponse:
        """Take the outcome the app reports."""
        run_id = _own_run(request.run_id)
        status, details = decode_run_status(request.run_status)
        await in_thread(self._launches.update_status, run_id, status, details)
        return run_pb2.UpdateRunStatusResponse()

    async def PushLogs(
        self, request: log_pb2.PushLogsRequest, _rpc: Rpc
    ) -> log_pb2.PushLogsResponse:
        """Append to the run's log."""
        await self._at_once(self._logs.append, _own_run(request.run_id), list(request.logs))
        return log_pb2.PushLogsResponse()

    async def GetNodes(
        self, request: serverappio_pb2.GetNodesRequest, _rpc: Rpc
    ) -> serverappio_pb2.GetNodesResponse:
        """Return the online nodes."""
        online = await self._at_once(self._nodes.online, _own_run(request.run_id))
        nodes = [node_pb2.Node(node_id=node_id) for node_id in online]
        return serverappio_pb2.GetNodesResponse(nodes=nodes)

    async def PushMessages(
        self, request: appio_pb2.PushAppMessagesRequest, _rpc: Rpc
    ) -> appio_pb2.PushAppMessagesResponse:
        """Accept instructions; a refused one has an empty id in its place."""
        run_id, given = _own_run(request.run_id), read_deliveries(request)
        enqueue = partial(self._messages.enqueue, takers=self._takers)
        is_large = sum(one.size_bytes for one in given) > AT_ONCE_BYTES
        bridge = NEVER_AT_ONCE if is_large else self._bridge(given)
        enqueued = await self._returning.take(bridge(enqueue, run_id, given), self._hand)
        await self._hand(enqueued)
        if enqueued.unsettled:
            await in_thread(self._messages.settle, enqueued.unsettled)
        return appio_pb2.PushAppMessagesResponse(
            message_ids=[message_id or "" for message_id in enqueued.message_ids],
            objects_to_push=enqueued.missing,
        )

    async def _hand(self, enqueued: Enqueued) -> None:
        await self._takers.hand(enqueued.granted, threaded(self._messages.put_back))

    async def PullMessages(
        self, request: appio_pb2.PullAppMessagesRequest, rpc: Rpc
    ) -> appio_pb2.PullAppMessagesResponse:
        """Return the answers there are; held until all are there, unless asked otherwise."""
        run_id = _own_run(request.run_id)
        asked = [MessageId(i) for i in dict.fromkeys(request.message_ids)]
        wait, whole = header(rpc, metadata.WAIT), header(rpc, metadata.ENCLOSE) == "1"
        received, any_will_do = read_received(request), wait == metadata.WAIT_ANY
        if wait != metadata.WAIT_NO:
            await self._until_answered(run_id, asked, received, any_will_do=any_will_do)
        elif received:
            await self._bridge(received)(self._messages.confirm_replies, run_id, received)
        answers = await self._bridge(asked)(self._messages.collect, run_id, asked, whole=whole)
        response = appio_pb2.PullAppMessagesResponse()
        online: Sequence[NodeId] = ()
        if header(rpc, metadata.ONLINE) == "1":
            online = await self._at_once(self._nodes.online, run_id)
        write_deliveries(response, answers, online=online if len(online) <= ONLINE_NODES else ())
        return response

    async def _until_answered(
        self,
        run_id: RunId,
        asked: Sequence[MessageId],
        received: Sequence[MessageId],
        *,
        any_will_do: bool,
    ) -> None:
        answers = {topics.answer(message_id): message_id for message_id in asked}
        open_ones = dict(answers)
        look = partial(self._messages.confirm_and_ask, run_id, any_will_do=any_will_do)

        async def is_enough(rung: set[str]) -> bool | None:
            nonlocal open_ones, received
            if rung and rung <= answers.keys() and not any_will_do:
                open_ones = {bell: i for bell, i in open_ones.items() if bell not in rung}
                return None if open_ones else True  # no need to look: the bells say it all
            left = list(open_ones.values())
            still = set(await self._bridge([*left, *received])(look, received, left))
            received = ()
            open_ones = {bell: i for bell, i in open_ones.items() if i in still}
            return None if still else True

        bells = (topics.run(run_id), topics.ended(run_id), *answers)
        await self._wakeups.until_told(bells, is_enough, timeout=LONG_POLL)

    def _bridge(self, messages: Sequence[object]) -> AtOnce:
        """Return where an operation on so many messages runs."""
        return self._at_once if len(messages) <= _FEW else NEVER_AT_ONCE

    async def PushObject(
        self, request: message_pb2.PushObjectRequest, _rpc: Rpc
    ) -> message_pb2.PushObjectResponse:
        """Store an object of one of the run's instructions."""
        _require_superlink_node(request.node)
        run_id, object_id = _own_run(request.run_id), ObjectId(request.object_id)
        stored = await in_thread(self._objects.put, run_id, object_id, request.object_content)
        return message_pb2.PushObjectResponse(stored=stored)

    async def PullObject(
        self, request: message_pb2.PullObjectRequest, _rpc: Rpc
    ) -> message_pb2.PullObjectResponse:
        """Return an object of one of the run's messages; held until its content is here."""
        _require_superlink_node(request.node)
        run_id, object_id = _own_run(request.run_id), ObjectId(request.object_id)
        return encode_pulled(await pull_held(self._objects, self._wakeups, run_id, object_id))

    async def ConfirmMessageReceived(
        self, request: message_pb2.ConfirmMessageReceivedRequest, _rpc: Rpc
    ) -> message_pb2.ConfirmMessageReceivedResponse:
        """Forget a reply the ServerApp has in full."""
        _require_superlink_node(request.node)
        run_id, message_id = _own_run(request.run_id), MessageId(request.message_object_id)
        await in_thread(self._messages.confirm_replies, run_id, [message_id])
        return message_pb2.ConfirmMessageReceivedResponse()

    async def GetFederationOptions(
        self, _request: run_pb2.GetFederationOptionsRequest, _rpc: Rpc
    ) -> run_pb2.GetFederationOptionsResponse:
        """Refuse: no client calls it, upstream raises."""
        raise UnimplementedError("GetFederationOptions is not offered")


class LaunchesServicer(launches_pb2_grpc.LaunchesServicer):
    """Hears from SuperExecs how the processes they launched have ended."""

    def __init__(self, launches: Launches) -> None:
        self._launches = launches

    async def ReportExit(
        self, request: launches_pb2.ReportExitRequest, _rpc: Rpc
    ) -> launches_pb2.ReportExitResponse:
        """End the lease of a process that is gone."""
        cause = request.cause or f"exited with code {request.exit_code}"
        await in_thread(self._launches.report_exit, request.token, cause)
        return launches_pb2.ReportExitResponse()


def _own_run(run_id: int) -> RunId:
    """Return the run a request names, which must be the one its token was granted for."""
    if run_id != calling_lease().run_id:
        raise WrongRunError
    return RunId(run_id)


def _require_superlink_node(node: node_pb2.Node) -> None:
    if node.node_id != SUPERLINK_NODE:
        raise FailedPreconditionError(f"node_id must be {SUPERLINK_NODE}, it is {node.node_id}")


def _encode_inputs(inputs: Inputs) -> appio_pb2.PullAppInputsResponse:
    run, fab = inputs.run, inputs.fab
    response = appio_pb2.PullAppInputsResponse(
        run=encode_run(run),
        fab=fab_pb2.Fab(hash_str=fab.hash, content=fab.content, verifications=fab.verifications),
    )
    if inputs.context is not None:
        response.context.ParseFromString(inputs.context)
    else:
        empty = new_context(run.run_id, SUPERLINK_NODE, node_config={}, run_config={})
        response.context.CopyFrom(empty)
    if run.simulation is not None:
        response.federation_config.CopyFrom(encode_simulation(run.simulation))
    return response


def add_appio(
    appio: ServerAppIoServicer, launches: LaunchesServicer, server: grpc.aio.Server
) -> None:
    """Serve the ServerAppIo API and our addition to it on ``server``."""
    serverappio_pb2_grpc.add_ServerAppIoServicer_to_server(appio, server)
    launches_pb2_grpc.add_LaunchesServicer_to_server(launches, server)
