"""What a runner asks of its daemon on its own account: heartbeats, logs, work, the app's end.

The app's own calls are forwarded as bytes and never decoded here, except where a crashed ClientApp
must be answered for.  Needs no numpy: runners stay small.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Final, Protocol

from flwr.core.ids import ObjectId, RunId
from flwr.core.lease import AppKind
from flwr.core.limits import SMALL_MESSAGE_BYTES
from flwr.core.message import Delivery, ErrorCode, ObjectTree
from flwr.core.run import RunStatus
from flwr.proto import appio_pb2, heartbeat_pb2, log_pb2, message_pb2, node_pb2, run_pb2
from flwr.proto.compose.v1 import launches_pb2, logs_pb2
from flwr.wire import metadata as keys
from flwr.wire.appio_methods import FINISH_LAUNCH, PUSH_APP_LOGS, REPORT_EXIT, method_of
from flwr.wire.clients.work import Work, parse_inputs, read_pieces
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries
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

    async def pull_work(self) -> Work:
        """Pull what a ClientApp was launched for; the daemon holds the app answerable from now on.

        Raises:
            FlwrError: the daemon's.
        """
        inputs = await self._caller.call(
            method_of(self._kind, "PullAppInputs"),
            appio_pb2.PullAppInputsRequest().SerializeToString(),
        )
        run_id = parse_inputs(inputs).run.run_id
        message = await self._caller.call(
            method_of(self._kind, "PullMessage"),
            appio_pb2.PullAppMessagesRequest(run_id=run_id).SerializeToString(),
            metadata={keys.ENCLOSE: "1"},
        )
        return read_pieces(inputs, message)

    async def finish(self, work: Work, outcome: bytes, *, printed: Sequence[str] = ()) -> None:
        """Give back reply, context and launch of a ClientApp.

        Args:
            work: what was taken.
            outcome: a FinishRequest.
            printed: what is left of the app's output; for work that was taken whole only.
        """
        if work.was_taken_whole:
            logs = launches_pb2.FinishRequest(logs=printed).SerializeToString()
            await self._caller.call(FINISH_LAUNCH, outcome + logs)
            return
        finish = launches_pb2.FinishRequest.FromString(outcome)
        if finish.reply:
            await self._reply_in_pieces(finish.reply)
        await self._caller.call(method_of(self._kind, "PushAppOutputs"), finish.outputs)

    async def _reply_in_pieces(self, reply: bytes) -> None:
        request = appio_pb2.PushAppMessagesRequest.FromString(reply)
        deliveries = read_deliveries(request)
        if sum(one.size_bytes for one in deliveries) > SMALL_MESSAGE_BYTES:
            bare = appio_pb2.PushAppMessagesRequest(run_id=request.run_id)
            write_deliveries(bare, [replace(one, contents={}) for one in deliveries])
            reply = bare.SerializeToString()  # who does not read them shall not get them twice
        response = await self._caller.call(method_of(self._kind, "PushMessage"), reply)
        wanted = appio_pb2.PushAppMessagesResponse.FromString(response).objects_to_push
        for delivery in deliveries:
            for object_id in filter(delivery.contents.__contains__, map(ObjectId, wanted)):
                upload = message_pb2.PushObjectRequest(
                    node=node_pb2.Node(node_id=delivery.envelope.src_node_id),
                    run_id=delivery.envelope.run_id,
                    object_id=object_id,
                    object_content=delivery.contents[object_id],
                )
                method = method_of(self._kind, "PushObject")
                await self._caller.call(method, upload.SerializeToString())


def outcome_of_crash(work: Work, cause: str, *, now: datetime, with_reply: bool) -> bytes:
    """Return the FinishRequest for a ClientApp that died: its context stays as it was.

    Args:
        work: what it was given.
        cause: in words.
        now: by our own clock.
        with_reply: answer in its place; False: its own reply is on its way.
    """
    finish = launches_pb2.FinishRequest(
        outputs=appio_pb2.PushAppOutputsRequest(context=work.context()).SerializeToString()
    )
    if with_reply:
        reply, content = error_reply(
            work.instruction().envelope, ErrorCode.CLIENT_APP_CRASHED, cause, now=now
        )
        object_id = ObjectId(reply.message_id)
        push = appio_pb2.PushAppMessagesRequest(run_id=work.run_id)
        write_deliveries(push, [Delivery(reply, ObjectTree(object_id), {object_id: content})])
        finish.reply = push.SerializeToString()
    return finish.SerializeToString()


def decode_launched(response: bytes) -> RunId:
    """Return the run that PullAppInputs told of.

    Raises:
        InvalidError: it told of none.
    """
    return RunId(parse_inputs(response).run.run_id)
