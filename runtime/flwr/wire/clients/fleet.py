"""A SuperNode's calls to Fleet: each signed afresh, each with a deadline, each tried once.

Failures come out as errors of ``core.errors``; whoever wants to try again does so outside.
"""

import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Final, TypeVar

import grpc
from google.protobuf.message import Message

from flwr import __version__
from flwr.auth.node_binding import sign_bound_call
from flwr.auth.node_keys import NodeKey
from flwr.core.clock import Clock
from flwr.core.errors import FailedPreconditionError, FlwrError
from flwr.core.ids import FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import (
    NODE_HEARTBEAT_DEADLINE,
    SMALL_MESSAGE_BYTES,
)
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.proto import fab_pb2, fleet_pb2, heartbeat_pb2, message_pb2, node_pb2, run_pb2
from flwr.proto.compose.v1 import logs_pb2
from flwr.wire import metadata
from flwr.wire.clients.bulk import BulkClient
from flwr.wire.clients.confirming import Secure
from flwr.wire.clients.deadlines import FAB_S, HELD_S, OBJECT_S, deadline_s, seconds
from flwr.wire.clients.line import LineEndedError, NodeLine, open_line
from flwr.wire.clients.line_keeper import LineKeeper
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries, write_received
from flwr.wire.codec.pieces import Piece, Wanted
from flwr.wire.codec.runs import decode_run
from flwr.wire.errors import from_rpc_error

logger = logging.getLogger(__name__)

Response = TypeVar("Response", bound=Message)
Headers = tuple[tuple[str, str | bytes], ...]

_FLEET: Final = "/flwr.proto.Fleet/"
_ONE_SIGNATURE: Final = timedelta(seconds=1)  # the contract's says only when; calls share it
_PUSH_NODE_LOGS: Final = "/flwr.compose.v1.NodeLogs/PushNodeLogs"


class NotActivatedError(FailedPreconditionError):
    """A call that names the node was made before the SuperLink gave it an id."""

    def __init__(self) -> None:
        """Say what comes first."""
        super().__init__("the node has no id yet", hint="call activate first")


@dataclass(frozen=True, slots=True)
class Pulled:
    """One answer to a pull of messages."""

    deliveries: tuple[Delivery, ...]
    ended_runs: tuple[RunId, ...] | None  # None: the server does not tell
    is_heartbeat: bool = False  # the server took the call for one


@dataclass(frozen=True, slots=True)
class PulledObject:
    """One answer to a pull of an object."""

    is_known: bool
    content: bytes | None  # None: known, and still on its way to the server


@dataclass(frozen=True, slots=True)
class FetchedFab:
    """A bundle as the server sends it; nothing of it is verified yet."""

    hash: FabHash
    content: bytes
    verifications: Mapping[str, str] = field(default_factory=dict)


class FleetClient:
    """Speaks for one node; it learns the node's id by ``activate``.

    Args:
        channel: stays the caller's to close.
        key: signs every call.
        clock: gives the instants that are signed.
        is_durable: this node keeps what it confirmed over a restart.
        secure: called before anything that came whole is confirmed.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        key: NodeKey,
        *,
        clock: Clock,
        is_durable: bool,
        secure: Secure,
    ) -> None:
        self._channel = channel
        self._key = key
        self._clock, self._secure = clock, secure
        self._signed_at = clock.now()
        self._traits: Headers = ((metadata.DURABLE, "1"),) if is_durable else ()
        self._node_id: NodeId | None = None
        self._interval: timedelta | None = None
        self._bulk = BulkClient(channel, self._sign)
        self._line = LineKeeper(self._open_line)
        self._unconfirmed: list[MessageId] = []  # while no line has it

    async def register(self) -> NodeId:
        """Register our own key; the answer is the node's id."""
        response = await self._call(
            "RegisterNode",
            fleet_pb2.RegisterNodeFleetRequest(public_key=self._key.public_pem),
            fleet_pb2.RegisterNodeFleetResponse.FromString,
        )
        return NodeId(response.node_id)

    async def activate(self, interval: timedelta, *, remembers: bool) -> NodeId:
        """Come online; the answer is our id.

        Args:
            interval: between the heartbeats that will follow.
            remembers: whatever this node confirmed in an earlier life is still here.
        """
        self._line.close()
        call = self._start(
            f"{_FLEET}ActivateNode",
            fleet_pb2.ActivateNodeRequest(
                public_key=self._key.public_pem, heartbeat_interval=seconds(interval)
            ),
            fleet_pb2.ActivateNodeResponse.FromString,
            headers=self._traits if remembers else (),
        )
        response = await _answer(call, f"{_FLEET}ActivateNode")
        await self._trailers(call)
        self._node_id, self._interval = NodeId(response.node_id), interval
        return self._node_id

    async def heartbeat(self, interval: timedelta) -> bool:
        """Stay online; False when the server does not know us."""
        response = await self._call(
            "SendNodeHeartbeat",
            heartbeat_pb2.SendNodeHeartbeatRequest(
                node=self._node(), heartbeat_interval=seconds(interval)
            ),
            heartbeat_pb2.SendNodeHeartbeatResponse.FromString,
            timeout_s=seconds(NODE_HEARTBEAT_DEADLINE),
        )
        return response.success

    async def deactivate(self) -> None:
        """Go offline."""
        self._line.close()
        await self._call(
            "DeactivateNode",
            fleet_pb2.DeactivateNodeRequest(node_id=self._require_id()),
            fleet_pb2.DeactivateNodeResponse.FromString,
        )

    async def unregister(self) -> None:
        """Give the registration back, for good."""
        await self._call(
            "UnregisterNode",
            fleet_pb2.UnregisterNodeFleetRequest(node_id=self._require_id()),
            fleet_pb2.UnregisterNodeFleetResponse.FromString,
        )

    async def pull_messages(
        self, active_runs: Sequence[RunId] = (), received: Sequence[MessageId] = ()
    ) -> Pulled:
        """Wait for an instruction as long as the server holds the call.

        Where the server knows that, the call is a heartbeat too, at the interval of the activation.

        Args:
            active_runs: runs this node holds something of; the answer names those that ended.
            received: what earlier answers brought whole and is stored here.  Only a server that
                encloses objects reads it; of others nothing comes whole.
        """
        self._unconfirmed += received
        while (line := await self._line.get()) is not None:
            line.confirm(self._unconfirmed)
            self._unconfirmed = []
            try:
                deliveries, ended = await line.pull(active_runs)
            except LineEndedError:
                self._unconfirmed = self._line.drop()
            else:
                return Pulled(tuple(deliveries), tuple(ended), is_heartbeat=True)
        return await self._pull_by_call(active_runs, await self._secured())

    async def push_reply(self, reply: Delivery, runtime_s: float) -> list[ObjectId]:
        """Announce a reply; the answer names the objects whose content is wanted.

        Args:
            reply: with its objects if it is small: they go along.  By a call that may not be read
                less is small than on a line.
            runtime_s: seconds the ClientApp took; 0 when unknown.
        """
        if (line := self._line.now) is not None and line.has_room and reply.may_go_whole:
            try:
                return await line.push(reply, runtime_s)
            except LineEndedError:
                logger.debug("A reply goes by a call", extra={"event": "line-ended"})
        request = fleet_pb2.PushMessagesRequest(
            node=self._node(), clientapp_runtime_list=[runtime_s]
        )
        if reply.size_bytes > SMALL_MESSAGE_BYTES:
            reply = replace(reply, contents={})
        write_deliveries(request, [reply])
        response = await self._call(
            "PushMessages", request, fleet_pb2.PushMessagesResponse.FromString
        )
        return [ObjectId(object_id) for object_id in response.objects_to_push]

    async def push_object(self, run_id: RunId, object_id: ObjectId, content: bytes) -> bool:
        """Send an object; False when it is not wanted."""
        response = await self._call(
            "PushObject",
            message_pb2.PushObjectRequest(
                node=self._node(), run_id=run_id, object_id=object_id, object_content=content
            ),
            message_pb2.PushObjectResponse.FromString,
        )
        return response.stored

    async def pull_object(self, run_id: RunId, object_id: ObjectId) -> PulledObject:
        """Fetch an object; the server may hold the call until the content is there."""
        response = await self._call(
            "PullObject",
            message_pb2.PullObjectRequest(node=self._node(), run_id=run_id, object_id=object_id),
            message_pb2.PullObjectResponse.FromString,
            timeout_s=OBJECT_S,
        )
        content = response.object_content if response.object_available else None
        return PulledObject(response.object_found, content)

    def pull_pieces(self, run_id: RunId, wanted: Sequence[Wanted]) -> AsyncGenerator[Piece, None]:
        """Fetch objects in pieces; UNIMPLEMENTED by upstream's SuperLinks."""
        return self._bulk.pull(self._require_id(), run_id, wanted)

    def push_pieces(
        self, run_id: RunId, ids: Sequence[ObjectId], pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[tuple[ObjectId, bool], None]:
        """Send objects in pieces; UNIMPLEMENTED by upstream's SuperLinks."""
        return self._bulk.push(self._require_id(), run_id, ids, pieces)

    async def confirm(self, run_id: RunId, message_id: MessageId) -> None:
        """Say that a whole instruction has arrived here."""
        await self._call(
            "ConfirmMessageReceived",
            message_pb2.ConfirmMessageReceivedRequest(
                node=self._node(), run_id=run_id, message_object_id=message_id
            ),
            message_pb2.ConfirmMessageReceivedResponse.FromString,
        )

    async def get_run(self, run_id: RunId) -> Run:
        """Fetch a run that is running."""
        response = await self._call(
            "GetRun",
            run_pb2.GetRunRequest(node=self._node(), run_id=run_id),
            run_pb2.GetRunResponse.FromString,
        )
        return decode_run(response.run)

    async def get_fab(self, run_id: RunId, fab_hash: FabHash) -> FetchedFab:
        """Fetch the bundle of a run; the caller verifies it."""
        response = await self._call(
            "GetFab",
            fab_pb2.GetFabRequest(node=self._node(), hash_str=fab_hash, run_id=run_id),
            fab_pb2.GetFabResponse.FromString,
            timeout_s=FAB_S,
        )
        fab = response.fab
        return FetchedFab(FabHash(fab.hash_str), fab.content, dict(fab.verifications))

    async def push_logs(self, run_id: RunId, logs: Sequence[str]) -> None:
        """Share the output of a ClientApp."""
        request = logs_pb2.PushNodeLogsRequest(node=self._node(), run_id=run_id, logs=logs)
        parse = logs_pb2.PushNodeLogsResponse.FromString
        await _answer(self._start(_PUSH_NODE_LOGS, request, parse), _PUSH_NODE_LOGS)

    async def _secured(self) -> list[MessageId]:
        """Return what can be confirmed; what cannot be is handed out again, and confirmed then."""
        unconfirmed, self._unconfirmed = self._unconfirmed, []
        if not unconfirmed:
            return []
        try:
            await self._secure()
        except FlwrError as error:
            facts = {"event": "storage", "cause": error.message}
            logger.warning("Cannot confirm instructions now", extra=facts)
            return []
        return unconfirmed

    async def _pull_by_call(
        self, active_runs: Sequence[RunId], received: Sequence[MessageId]
    ) -> Pulled:
        listed = metadata.write_runs(active_runs)
        headers: Headers = ((metadata.ACTIVE_RUNS, listed),) if listed else ()
        if self._interval is not None:
            headers += ((metadata.HEARTBEAT_S, f"{seconds(self._interval):g}"),)
        request = fleet_pb2.PullMessagesRequest(node=self._node())
        write_received(request, received)
        call = self._start(
            f"{_FLEET}PullMessages",
            request,
            fleet_pb2.PullMessagesResponse.FromString,
            headers=(*self._traits, (metadata.ENCLOSE, "1"), *headers),
            timeout_s=HELD_S,
        )
        response = await _answer(call, f"{_FLEET}PullMessages")
        trailers = await self._trailers(call)
        is_heartbeat = trailers.get(metadata.HEARD) == "1"
        return Pulled(tuple(read_deliveries(response)), _ended_runs(trailers), is_heartbeat)

    async def _open_line(self) -> NodeLine:
        assert self._interval is not None, "lines are offered by the answer to activation"
        return await open_line(
            self._channel,
            self._sign,
            self._require_id(),
            self._interval,
            is_durable=bool(self._traits),
            secure=self._secure,
        )

    async def _trailers(self, call: grpc.aio.Call) -> grpc.aio.Metadata:
        """Return the trailers of a call that tells whether lines are offered."""
        trailers = await call.trailing_metadata()
        self._line.is_offered = trailers.get(metadata.LINE) == "1"
        return trailers

    async def _call(
        self,
        name: str,
        request: Message,
        parse: Callable[[bytes], Response],
        *,
        headers: Headers = (),
        timeout_s: float | None = None,
    ) -> Response:
        method = _FLEET + name
        call = self._start(method, request, parse, headers=headers, timeout_s=timeout_s)
        return await _answer(call, method)

    def _start(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], Response],
        *,
        headers: Headers = (),
        timeout_s: float | None = None,
    ) -> grpc.aio.UnaryUnaryCall[bytes, Response]:
        body = request.SerializeToString()
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, Response] = self._channel.unary_unary(
            method, response_deserializer=parse
        )
        return send(
            body,
            timeout=deadline_s(len(body)) if timeout_s is None else timeout_s,
            metadata=(*self._sign(method, body), *headers),
        )

    def _sign(self, method: str, body: bytes) -> Headers:
        now = self._clock.now()
        if not timedelta(0) <= now - self._signed_at < _ONE_SIGNATURE:
            self._signed_at = now
        signed = sign_bound_call(self._key, method, body, at=self._signed_at)
        return (*signed, (metadata.VERSION, __version__))

    def _node(self) -> node_pb2.Node:
        return node_pb2.Node(node_id=self._require_id())

    def _require_id(self) -> NodeId:
        if self._node_id is None:
            raise NotActivatedError
        return self._node_id


async def _answer(call: Awaitable[Response], method: str) -> Response:
    try:
        return await call
    except grpc.RpcError as cause:
        raise from_rpc_error(cause, method=method) from cause


def _ended_runs(trailers: grpc.aio.Metadata) -> tuple[RunId, ...] | None:
    told = trailers.get(metadata.ENDED_RUNS)
    if not isinstance(told, str):
        return None
    return tuple(metadata.read_runs(told))
