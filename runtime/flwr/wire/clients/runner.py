"""What a runner asks of its daemon on its own account: heartbeats, logs, the app's end.

The app's own calls are forwarded as bytes and never decoded here, except where a crashed ClientApp
must be answered for.  Needs no numpy: runners stay small.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final, Protocol

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId, RunId
from flwr.core.lease import AppKind
from flwr.core.message import Delivery, ErrorCode, ObjectTree
from flwr.core.run import RunStatus
from flwr.proto import appio_pb2, heartbeat_pb2, log_pb2, message_pb2, node_pb2, run_pb2
from flwr.proto.compose.v1 import launches_pb2, logs_pb2
from flwr.wire import metadata as keys
from flwr.wire.appio_methods import PUSH_APP_LOGS, REPORT_EXIT, method_of
from flwr.wire.codec.messages import decode_deliveries, encode_envelope, encode_tree
from flwr.wire.codec.runs import encode_run_status
from flwr.wire.object_format import error_reply
from flwr.wire.transport import NO_METADATA

_SERVERAPP_LOG_NODE: Final = 0  # wire contract §7.1


class AsyncCaller(Protocol):
    """Calls a method of the daemon with the launch token, tried again while it is unavailable."""

    async def call(
        self,
        method: str,
        request: bytes,
        *,
        metadata: Mapping[str, str] = NO_METADATA,
        patience: timedelta | None = None,
    ) -> bytes:
        """Return the serialized response.

        Args:
            method: full path.
            request: the serialized request, its token still blank.
            metadata: text keys and values sent along.
            patience: how long an unavailable daemon is tried again; None: the caller's own limit.

        Raises:
            FlwrError: whatever the daemon or the transport reports.
        """
        ...


@dataclass(frozen=True, slots=True)
class LaunchedRun:
    """What the runner needs to know of the run it serves."""

    run_id: RunId
    context: message_pb2.Context


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle as the daemon sends it; nothing of it is verified yet."""

    fab_hash: str
    content: bytes


class RunnerClient:
    """Typed calls of one runner."""

    def __init__(self, caller: AsyncCaller, *, kind: AppKind) -> None:
        self._caller, self._kind = caller, kind

    async def heartbeat(self, *, next_in: timedelta) -> bool:
        """Renew the lease; False: it is dead.  Never repeated: the next one follows soon."""
        response = await self._caller.call(
            method_of(self._kind, "SendAppHeartbeat"),
            heartbeat_pb2.SendAppHeartbeatRequest().SerializeToString(),
            metadata={keys.HEARTBEAT_S: f"{next_in.total_seconds():g}"},
            patience=timedelta(0),
        )
        return heartbeat_pb2.SendAppHeartbeatResponse.FromString(response).success

    async def push_serverapp_logs(self, run_id: RunId, text: str) -> None:
        """Append to the run's log."""
        request = log_pb2.PushLogsRequest(
            node=node_pb2.Node(node_id=_SERVERAPP_LOG_NODE), run_id=run_id, logs=[text]
        )
        await self._caller.call(method_of(self._kind, "PushLogs"), request.SerializeToString())

    async def push_clientapp_logs(self, token: str, text: str) -> None:
        """Give the SuperNode what the app printed; UNIMPLEMENTED by upstream's."""
        request = logs_pb2.PushAppLogsRequest(token=token, logs=[text])
        await self._caller.call(PUSH_APP_LOGS, request.SerializeToString())

    async def report_exit(
        self, token: str, exit_code: int, cause: str, *, patience: timedelta
    ) -> None:
        """Say why there is no app to speak for; refused by upstream's daemons, which wait."""
        request = launches_pb2.ReportExitRequest(token=token, exit_code=exit_code, cause=cause)
        await self._caller.call(REPORT_EXIT, request.SerializeToString(), patience=patience)

    async def finish_run(
        self, run_id: RunId, status: RunStatus, details: str, *, patience: timedelta | None = None
    ) -> None:
        """Say how the ServerApp ended."""
        request = run_pb2.UpdateRunStatusRequest(
            run_id=run_id, run_status=encode_run_status(status, details)
        )
        method = method_of(self._kind, "UpdateRunStatus")
        await self._caller.call(method, request.SerializeToString(), patience=patience)

    async def answer_for_crash(
        self, launched: LaunchedRun, instruction: Delivery, cause: str, *, now: datetime
    ) -> None:
        """Answer in place of a ClientApp that died."""
        reply, content = error_reply(
            instruction.envelope, ErrorCode.CLIENT_APP_CRASHED, cause, now=now
        )
        object_id = ObjectId(reply.message_id)
        push = appio_pb2.PushAppMessagesRequest(
            messages_list=[encode_envelope(reply)],
            run_id=launched.run_id,
            message_object_trees=[encode_tree(ObjectTree(object_id))],
        )
        await self._caller.call(method_of(self._kind, "PushMessage"), push.SerializeToString())
        upload = message_pb2.PushObjectRequest(
            node=node_pb2.Node(node_id=launched.context.node_id),
            run_id=launched.run_id,
            object_id=object_id,
            object_content=content,
        )
        await self._caller.call(method_of(self._kind, "PushObject"), upload.SerializeToString())

    async def give_back(self, launched: LaunchedRun) -> None:
        """End the lease of a ClientApp; its context stays as it was."""
        outputs = appio_pb2.PushAppOutputsRequest(context=launched.context)
        await self._caller.call(
            method_of(self._kind, "PushAppOutputs"), outputs.SerializeToString()
        )


def pull_inputs_request() -> bytes:
    """Return what an app sends to get its inputs."""
    return appio_pb2.PullAppInputsRequest().SerializeToString()


def pull_message_request(run_id: RunId) -> bytes:
    """Return what a ClientApp sends to get its instruction."""
    return appio_pb2.PullAppMessagesRequest(run_id=run_id).SerializeToString()


def decode_inputs(response: bytes) -> LaunchedRun:
    """Read what PullAppInputs answered.

    Raises:
        InvalidError: it is no such response.
    """
    inputs = _parse_inputs(response)
    return LaunchedRun(RunId(inputs.run.run_id), inputs.context)


def take_bundle(response: bytes) -> tuple[Bundle | None, bytes]:
    """Return the bundle in what PullAppInputs answered, and the response without it.

    Raises:
        InvalidError: it is no such response.
    """
    inputs = _parse_inputs(response)
    if not inputs.HasField("fab"):
        return None, response
    bundle = Bundle(inputs.run.fab_hash or inputs.fab.hash_str, inputs.fab.content)
    inputs.ClearField("fab")
    return bundle, inputs.SerializeToString()


def _parse_inputs(response: bytes) -> appio_pb2.PullAppInputsResponse:
    try:
        return appio_pb2.PullAppInputsResponse.FromString(response)
    except DecodeError as cause:
        raise InvalidError("the daemon's answer to PullAppInputs is malformed") from cause


def decode_instruction(response: bytes) -> Delivery:
    """Read what ClientAppIo.PullMessage answered: exactly one message (wire contract §20 no. 10).

    Raises:
        InvalidError: it is no such response.
    """
    try:
        pulled = appio_pb2.PullAppMessagesResponse.FromString(response)
    except DecodeError as cause:
        raise InvalidError("the daemon's answer to PullMessage is malformed") from cause
    deliveries = decode_deliveries(pulled.messages_list, pulled.message_object_trees)
    if not deliveries:
        raise InvalidError("the daemon's answer to PullMessage holds no message")
    return deliveries[0]
