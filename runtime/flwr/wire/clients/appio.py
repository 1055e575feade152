"""What an app's own process asks for: typed, blocking clients of ServerAppIo and ClientAppIo.

They speak through any ``Caller``, in practice the pipe to the runner, which adds the token, tries
again while the daemon is unavailable, and sends heartbeats, logs and the outcome by itself.
"""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Final, Protocol, Self, TypeVar

from google.protobuf.message import DecodeError, Message

from flwr.app.context import Context
from flwr.core.clock import Clock, SystemClock
from flwr.core.errors import InvalidError, NotFoundError, UnavailableError
from flwr.core.ids import SUPERLINK_NODE, FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.limits import (
    CONTACT_LOST,
    OBJECT_POLL_CAP,
    OBJECT_POLL_FIRST,
    OBJECT_WAIT,
    RPC_DEADLINE,
)
from flwr.core.message import Delivery
from flwr.core.run import Run
from flwr.core.simulation import SimulationConfig
from flwr.proto import appio_pb2, fab_pb2, message_pb2, node_pb2, run_pb2, serverappio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata as keys
from flwr.wire.appio_methods import TAKE_LAUNCH
from flwr.wire.codec.config import decode_simulation
from flwr.wire.codec.contexts import decode_context, encode_context
from flwr.wire.codec.deliveries import (
    read_deliveries,
    read_replies,
    write_deliveries,
    write_received,
)
from flwr.wire.codec.runs import decode_run
from flwr.wire.transport import NO_METADATA, Caller

# The runner itself gives up after CONTACT_LOST; this only catches a runner that hangs.
_TIMEOUT_S: Final = (CONTACT_LOST + RPC_DEADLINE).total_seconds()


class ObjectNeverCameError(UnavailableError):
    """An announced object did not arrive in time."""

    def __init__(self, object_id: ObjectId, patience: timedelta) -> None:
        """Say how long it was waited for."""
        super().__init__(
            f"object {object_id} was announced and did not come within {patience}",
            hint="its sender has probably ended; see the log of the node or ServerApp it came from",
        )
        self.object_id = object_id


class ObjectRefusedError(InvalidError):
    """The receiver refused an object that it had asked for."""

    def __init__(self, object_id: ObjectId) -> None:
        """Name the object."""
        super().__init__(f"object {object_id} was refused: the run's messages are gone")
        self.object_id = object_id


@dataclass(frozen=True, slots=True)
class ShippedFab:
    """A bundle as the daemon sends it; nothing of it is verified yet."""

    fab_hash: FabHash
    content: bytes
    verifications: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AppInputs:
    """Everything an app starts from."""

    context: Context
    run: Run
    fab: ShippedFab | None
    simulation: SimulationConfig


@dataclass(frozen=True, slots=True)
class Taken:
    """Everything a ClientApp starts from: of its run no more than that needs."""

    run_id: RunId
    fab_hash: FabHash
    context: Context
    fab: ShippedFab | None
    instruction: Delivery


@dataclass(frozen=True, slots=True)
class PushedMessages:
    """What became of announced messages."""

    message_ids: list[MessageId | None]
    """In the order of the request; None: refused, its node left."""
    wanted: list[ObjectId]
    """Objects the receiver lacks."""


class _Parseable(Protocol):
    @classmethod
    def FromString(cls, s: bytes, /) -> Self: ...  # noqa: N802  (protobuf's name)


_Response = TypeVar("_Response", bound=_Parseable)


class _AppIoClient:
    """Calls both services have."""

    _service: str

    def __init__(
        self,
        caller: Caller,
        *,
        clock: Clock | None = None,
        pause: Callable[[float], None] = time.sleep,
    ) -> None:
        """Keep the transport.

        Args:
            caller: carries requests and responses.
            clock: measures the wait for late objects.
            pause: waits so many seconds between two looks for a late object.
        """
        self._caller = caller
        self._clock, self._pause = clock or SystemClock(), pause
        self.node_id: NodeId = SUPERLINK_NODE
        """On whose behalf objects are moved; a ClientApp learns its own from ``take``."""

    def pull_inputs(self) -> AppInputs:
        """Return what the app starts from; works once per launch."""
        inputs = self._call(
            "PullAppInputs", appio_pb2.PullAppInputsRequest(), appio_pb2.PullAppInputsResponse
        )
        return self._read_inputs(inputs)

    def push_outputs(self, context: Context) -> None:
        """Hand the context back; its state is kept for the next message of the run."""
        self._call(
            "PushAppOutputs",
            appio_pb2.PushAppOutputsRequest(run_id=context.run_id, context=encode_context(context)),
            appio_pb2.PushAppOutputsResponse,
        )

    def get_run(self, run_id: RunId) -> Run | None:
        """Return the run; None when there is none such."""
        response = self._call(
            "GetRun",
            run_pb2.GetRunRequest(node=self._node(), run_id=run_id),
            run_pb2.GetRunResponse,
        )
        return decode_run(response.run) if response.HasField("run") else None

    def put_object(self, run_id: RunId, object_id: ObjectId, content: bytes) -> None:
        """Send the bytes of an object that the receiver asked for.

        Raises:
            ObjectRefusedError: nobody wants it any longer.
        """
        response = self._call(
            "PushObject",
            message_pb2.PushObjectRequest(
                node=self._node(), run_id=run_id, object_id=object_id, object_content=content
            ),
            message_pb2.PushObjectResponse,
        )
        if not response.stored:
            raise ObjectRefusedError(object_id)

    def find_object(self, run_id: RunId, object_id: ObjectId) -> bytes | None:
        """Return the bytes of an announced object; None while they are on their way.

        Raises:
            NotFoundError: nobody announced it, or its message is gone.
        """
        response = self._call(
            "PullObject",
            message_pb2.PullObjectRequest(node=self._node(), run_id=run_id, object_id=object_id),
            message_pb2.PullObjectResponse,
        )
        if not response.object_found:
            raise NotFoundError(f"object {object_id} is unknown to the peer")
        return response.object_content if response.object_available else None

    def get_object(
        self,
        run_id: RunId,
        object_id: ObjectId,
        *,
        patience: timedelta = OBJECT_WAIT,
    ) -> bytes:
        """Return the bytes of an announced object, waiting for them if need be.

        Raises:
            NotFoundError: nobody announced it, or its message is gone.
            ObjectNeverCameError: ``patience`` ran out.
        """
        until = self._clock.monotonic() + patience.total_seconds()
        delay_s = OBJECT_POLL_FIRST.total_seconds()
        while (content := self.find_object(run_id, object_id)) is None:
            if self._clock.monotonic() >= until:
                raise ObjectNeverCameError(object_id, patience)
            self._pause(delay_s)
            delay_s = min(2 * delay_s, OBJECT_POLL_CAP.total_seconds())
        return content

    def confirm(self, run_id: RunId, message_id: MessageId) -> None:
        """Say that every object of the message has arrived; the peer may then drop it."""
        self._call(
            "ConfirmMessageReceived",
            message_pb2.ConfirmMessageReceivedRequest(
                node=self._node(), run_id=run_id, message_object_id=message_id
            ),
            message_pb2.ConfirmMessageReceivedResponse,
        )

    def _read_inputs(self, inputs: appio_pb2.PullAppInputsResponse) -> AppInputs:
        self.node_id = NodeId(inputs.context.node_id)
        return AppInputs(
            context=decode_context(inputs.context),
            run=decode_run(inputs.run),
            fab=_read_fab(inputs.fab) if inputs.HasField("fab") else None,
            simulation=decode_simulation(inputs.federation_config),
        )

    def _push(self, name: str, run_id: RunId, deliveries: Iterable[Delivery]) -> PushedMessages:
        """Announce messages; those with contents bring them along."""
        request = appio_pb2.PushAppMessagesRequest(run_id=run_id)
        write_deliveries(request, deliveries)
        response = self._call(name, request, appio_pb2.PushAppMessagesResponse)
        return PushedMessages(
            [MessageId(text) or None for text in response.message_ids],
            [ObjectId(text) for text in response.objects_to_push],
        )

    def _node(self) -> node_pb2.Node:
        return node_pb2.Node(node_id=self.node_id)

    def _call(
        self,
        name: str,
        request: Message,
        response_type: type[_Response],
        metadata: Mapping[str, str] = NO_METADATA,
    ) -> _Response:
        content = self._caller.call(
            f"/flwr.proto.{self._service}/{name}",
            request.SerializeToString(),
            timeout=_TIMEOUT_S,
            metadata=metadata,
        )
        try:
            return response_type.FromString(content)
        except DecodeError as cause:
            raise InvalidError(f"the answer to {name} cannot be read") from cause


@dataclass(frozen=True, slots=True)
class Replies:
    """What a ServerApp pulled."""

    deliveries: list[Delivery]
    online: list[NodeId]
    """The nodes that are online, if the SuperLink said so."""


class ServerAppIoClient(_AppIoClient):
    """Calls of a ServerApp."""

    _service = "ServerAppIo"

    def nodes(self, run_id: RunId) -> list[NodeId]:
        """Return the nodes that are online now."""
        response = self._call(
            "GetNodes",
            serverappio_pb2.GetNodesRequest(run_id=run_id),
            serverappio_pb2.GetNodesResponse,
        )
        return [NodeId(node.node_id) for node in response.nodes]

    def push_messages(self, run_id: RunId, deliveries: Sequence[Delivery]) -> PushedMessages:
        """Announce instructions; objects that are wanted then follow by ``put_object``."""
        return self._push("PushMessages", run_id, deliveries)

    def pull_messages(
        self,
        run_id: RunId,
        message_ids: Iterable[MessageId],
        *,
        wait: str = keys.WAIT_ALL,
        received: Sequence[MessageId] = (),
        asks_online: bool = False,
    ) -> Replies:
        """Return the replies to these instructions that are there, in any order.

        Args:
            run_id: the run.
            asks_online: the SuperLink may say which nodes are online.
            message_ids: the instructions.
            received: replies that earlier calls brought whole; the SuperLink may then forget them.
            wait: ``WAIT_ANY`` or ``WAIT_ALL`` of ``wire.metadata`` let the SuperLink hold the call
                for up to ``limits.LONG_POLL`` until one or all are there; ``WAIT_NO`` does not.
                A SuperLink that cannot hold calls answers at once.
        """
        request = appio_pb2.PullAppMessagesRequest(message_ids=message_ids, run_id=run_id)
        write_received(request, received)
        metadata = {keys.WAIT: wait, keys.ENCLOSE: "1"}
        if asks_online:
            metadata[keys.ONLINE] = "1"
        response_type = appio_pb2.PullAppMessagesResponse
        response = self._call("PullMessages", request, response_type, metadata)
        return Replies(*read_replies(response))


class ClientAppIoClient(_AppIoClient):
    """Calls of a ClientApp."""

    _service = "ClientAppIo"

    def take(self, came_along: bytes = b"") -> Taken:
        """Return what this process was launched for.

        Args:
            came_along: what its runner would answer; empty: it is asked.

        Raises:
            NotFoundError: it is gone.
            InvalidError: its runner says something else.
        """
        content = came_along or self._caller.call(TAKE_LAUNCH, b"", timeout=_TIMEOUT_S)
        try:
            taken = launches_pb2.TakeResponse.FromString(content)
            inputs = appio_pb2.PullAppInputsResponse.FromString(taken.inputs)
            pulled = appio_pb2.PullAppMessagesResponse.FromString(taken.message)
        except DecodeError as cause:
            raise InvalidError("what this app was launched for cannot be read") from cause
        found = read_deliveries(pulled, at_most=1)
        if not found:
            raise NotFoundError("the instruction of this launch is gone")
        self.node_id = NodeId(inputs.context.node_id)
        return Taken(
            RunId(inputs.run.run_id),
            FabHash(inputs.run.fab_hash),
            decode_context(inputs.context),
            _read_fab(taken.fab) if taken.HasField("fab") else None,
            found[0],
        )

    def push_message(self, reply: Delivery) -> PushedMessages:
        """Announce the reply; objects that are wanted then follow by ``put_object``."""
        return self._push("PushMessage", reply.envelope.run_id, [reply])

    def finished(self, context: Context, reply: Delivery | None) -> bytes:
        """Return what ends the launch: the context, and the reply if it is whole.

        Args:
            context: its state is kept for the next message of the run.
            reply: None: ``push_message`` has said it already.
        """
        finish = launches_pb2.FinishRequest(
            outputs=appio_pb2.PushAppOutputsRequest(
                run_id=context.run_id, context=encode_context(context)
            ).SerializeToString()
        )
        if reply is not None:
            push = appio_pb2.PushAppMessagesRequest(run_id=context.run_id)
            write_deliveries(push, [reply])
            finish.reply = push.SerializeToString()
        return finish.SerializeToString()


def _read_fab(fab: fab_pb2.Fab) -> ShippedFab:
    return ShippedFab(FabHash(fab.hash_str), fab.content, dict(fab.verifications))
