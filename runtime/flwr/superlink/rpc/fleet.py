"""Edge of the Fleet API: decode, call one operation, encode.  Interceptors prove who calls."""

from dataclasses import replace
from datetime import timedelta
from typing import Final

import grpc

from flwr.core.ids import FabHash, MessageId, ObjectId, RunId
from flwr.core.limits import LONG_POLL, PULL_AGAIN_BEFORE, SMALL_MESSAGE_BYTES
from flwr.proto import fab_pb2, fleet_pb2, fleet_pb2_grpc, heartbeat_pb2, message_pb2, run_pb2
from flwr.proto.compose.v1 import logs_pb2, logs_pb2_grpc
from flwr.shell.in_thread import AtOnce, in_thread
from flwr.shell.wakeups import Wakeups
from flwr.superlink.logs import Logs
from flwr.superlink.messages import MessageExchange
from flwr.superlink.nodes import Nodes
from flwr.superlink.objects import Objects
from flwr.superlink.presence import Presence
from flwr.superlink.rpc.handing import Asking, Found, Handing
from flwr.superlink.rpc.objects import encode_pulled, pull_held
from flwr.superlink.runs import Runs
from flwr.wire import metadata
from flwr.wire.codec.deliveries import read_deliveries, read_received, write_deliveries
from flwr.wire.codec.runs import encode_run
from flwr.wire.interceptors.guarding import Rpc, header
from flwr.wire.interceptors.node import calling_key, calling_node

_RECONNECT: Final = 5  # seconds; contract, ignored by every client
_REFUSED: Final = "None"  # contract: the key of a refused reply

_ANSWERED_WITHIN: Final = timedelta(seconds=1)
"""What a node has received is noted only if it does not answer so soon: the answer says it all."""


class FleetServicer(fleet_pb2_grpc.FleetServicer):
    """Serves SuperNodes."""

    def __init__(
        self,
        *,
        nodes: Nodes,
        runs: Runs,
        messages: MessageExchange,
        objects: Objects,
        handing: Handing,
        presence: Presence,
        wakeups: Wakeups,
        at_once: AtOnce,
    ) -> None:
        self._nodes, self._runs, self._presence = nodes, runs, presence
        self._messages, self._objects, self._handing = messages, objects, handing
        self._wakeups, self._at_once = wakeups, at_once

    async def RegisterNode(
        self, _request: fleet_pb2.RegisterNodeFleetRequest, _rpc: Rpc
    ) -> fleet_pb2.RegisterNodeFleetResponse:
        """Register the calling key."""
        node = await in_thread(self._nodes.register_self, calling_key())
        return fleet_pb2.RegisterNodeFleetResponse(node_id=node.node_id)

    async def ActivateNode(
        self, request: fleet_pb2.ActivateNodeRequest, rpc: Rpc
    ) -> fleet_pb2.ActivateNodeResponse:
        """Bring the node of the calling key online."""
        node = await in_thread(
            self._nodes.activate,
            calling_key(),
            request.heartbeat_interval,
            is_durable=header(rpc, metadata.DURABLE) == "1",
        )
        rpc.set_trailing_metadata(((metadata.LINE, "1"),))
        return fleet_pb2.ActivateNodeResponse(node_id=node.node_id)

    async def DeactivateNode(
        self, _request: fleet_pb2.DeactivateNodeRequest, _rpc: Rpc
    ) -> fleet_pb2.DeactivateNodeResponse:
        """Take the calling node offline."""
        self._presence.left(calling_node())
        await in_thread(self._nodes.deactivate, calling_node())
        return fleet_pb2.DeactivateNodeResponse()

    async def UnregisterNode(
        self, _request: fleet_pb2.UnregisterNodeFleetRequest, _rpc: Rpc
    ) -> fleet_pb2.UnregisterNodeFleetResponse:
        """End the calling node for good."""
        await in_thread(self._nodes.unregister_self, calling_node())
        return fleet_pb2.UnregisterNodeFleetResponse()

    async def SendNodeHeartbeat(
        self, request: heartbeat_pb2.SendNodeHeartbeatRequest, _rpc: Rpc
    ) -> heartbeat_pb2.SendNodeHeartbeatResponse:
        """Renew the calling node's presence."""
        is_known = await self._presence.heard(calling_node(), request.heartbeat_interval)
        return heartbeat_pb2.SendNodeHeartbeatResponse(success=is_known)

    async def PullMessages(
        self, request: fleet_pb2.PullMessagesRequest, rpc: Rpc
    ) -> fleet_pb2.PullMessagesResponse:
        """Hand over one instruction; held until there is one, or a run of the node has ended."""
        node_id = calling_node()
        active = metadata.read_runs(header(rpc, metadata.ACTIVE_RUNS))
        if header(rpc, metadata.DURABLE) == "1":
            self._nodes.note_durable(node_id)
        interval = metadata.read_heartbeat(header(rpc, metadata.HEARTBEAT_S))
        if interval is not None:
            self._presence.note(node_id, interval.total_seconds())
        hold = LONG_POLL if interval is None else interval - PULL_AGAIN_BEFORE
        received = read_received(request)
        whole_bytes = SMALL_MESSAGE_BYTES if header(rpc, metadata.ENCLOSE) == "1" else 0
        pull = Asking(node_id, active, received, whole_bytes)
        found = await self._wait_for(pull, _ANSWERED_WITHIN if received else hold)
        if received and found is None:
            await self._at_once(self._messages.confirm_received, node_id, received)
            found = await self._wait_for(replace(pull, received=()), hold - _ANSWERED_WITHIN)
        delivery, ended = found or (None, ())
        told = [(metadata.ENDED_RUNS, metadata.write_runs(ended))] if active else []
        heard = [(metadata.HEARD, "1"), (metadata.LINE, "1")] if interval is not None else []
        rpc.set_trailing_metadata((*told, *heard))
        response = fleet_pb2.PullMessagesResponse()
        write_deliveries(response, [delivery] if delivery else [])
        return response

    async def PushMessages(
        self, request: fleet_pb2.PushMessagesRequest, _rpc: Rpc
    ) -> fleet_pb2.PushMessagesResponse:
        """Take one reply; the contract reads only the first of the list."""
        replies = read_deliveries(request, at_most=1)
        response = fleet_pb2.PushMessagesResponse()
        response.reconnect.reconnect = _RECONNECT
        if replies:
            runtime_s = next(iter(request.clientapp_runtime_list), 0.0)
            answered = await self._at_once(
                self._messages.accept_reply, calling_node(), replies[0], runtime_s=runtime_s
            )
            if answered.unsettled:
                await in_thread(self._messages.settle, answered.unsettled)
            response.results[answered.message_id or _REFUSED] = 0
            response.objects_to_push.extend(answered.missing)
        return response

    async def GetRun(self, request: run_pb2.GetRunRequest, _rpc: Rpc) -> run_pb2.GetRunResponse:
        """Return a running run."""
        run = await in_thread(self._runs.require_running, RunId(request.run_id))
        return run_pb2.GetRunResponse(run=encode_run(run))

    async def GetFab(self, request: fab_pb2.GetFabRequest, _rpc: Rpc) -> fab_pb2.GetFabResponse:
        """Return the bundle of a running run."""
        run_id, fab_hash = RunId(request.run_id), FabHash(request.hash_str)
        fab = await in_thread(self._runs.fetch_fab, run_id, fab_hash)
        found = fab_pb2.Fab(hash_str=fab.hash, content=fab.content, verifications=fab.verifications)
        return fab_pb2.GetFabResponse(fab=found)

    async def PushObject(
        self, request: message_pb2.PushObjectRequest, _rpc: Rpc
    ) -> message_pb2.PushObjectResponse:
        """Store an object of one of the node's replies."""
        stored = await in_thread(
            self._objects.put,
            RunId(request.run_id),
            ObjectId(request.object_id),
            request.object_content,
            node_id=calling_node(),
        )
        return message_pb2.PushObjectResponse(stored=stored)

    async def PullObject(
        self, request: message_pb2.PullObjectRequest, _rpc: Rpc
    ) -> message_pb2.PullObjectResponse:
        """Return an object of one of the node's instructions; held until its content is here."""
        run_id, object_id = RunId(request.run_id), ObjectId(request.object_id)
        pulled = await pull_held(
            self._objects, self._wakeups, run_id, object_id, node_id=calling_node()
        )
        return encode_pulled(pulled)

    async def ConfirmMessageReceived(
        self, request: message_pb2.ConfirmMessageReceivedRequest, _rpc: Rpc
    ) -> message_pb2.ConfirmMessageReceivedResponse:
        """Note that the node has a whole instruction."""
        run_id, message_id = RunId(request.run_id), MessageId(request.message_object_id)
        await in_thread(self._messages.confirm_instruction, calling_node(), run_id, message_id)
        return message_pb2.ConfirmMessageReceivedResponse()

    async def _wait_for(self, pull: Asking, hold: timedelta) -> Found | None:
        async def attempt() -> Found | None:
            return await self._handing.look(pull, pull.received)

        return await self._wakeups.until(pull.bells, attempt, timeout=hold)


class NodeLogsServicer(logs_pb2_grpc.NodeLogsServicer):
    """Takes the output of ClientApps from sites that share it."""

    def __init__(self, logs: Logs) -> None:
        self._logs = logs

    async def PushNodeLogs(
        self, request: logs_pb2.PushNodeLogsRequest, _rpc: Rpc
    ) -> logs_pb2.PushNodeLogsResponse:
        """Append to the run's log."""
        run_id = RunId(request.run_id)
        await in_thread(self._logs.append_from_node, calling_node(), run_id, list(request.logs))
        return logs_pb2.PushNodeLogsResponse()


def add_fleet(fleet: FleetServicer, logs: NodeLogsServicer, server: grpc.aio.Server) -> None:
    """Serve the Fleet API and our addition to it on ``server``."""
    fleet_pb2_grpc.add_FleetServicer_to_server(fleet, server)
    logs_pb2_grpc.add_NodeLogsServicer_to_server(logs, server)
