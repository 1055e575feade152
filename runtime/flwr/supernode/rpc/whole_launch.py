"""A launch in two messages, as bytes: the same by gRPC and on a tube."""

from google.protobuf.message import DecodeError

from flwr.core.errors import InvalidError
from flwr.core.lease import Lease
from flwr.core.limits import AT_ONCE_BYTES
from flwr.core.message import Delivery
from flwr.proto import appio_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.shell.in_thread import NEVER_AT_ONCE, AtOnce, in_thread
from flwr.supernode.app_logs import AppLogs
from flwr.supernode.launches import WholeLaunch, WholeLaunches
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.app_inputs import encode_fab, encode_inputs
from flwr.wire.codec.deliveries import read_deliveries, write_deliveries


def encode_taken(taken: WholeLaunch) -> launches_pb2.TakeResponse:
    """Return what an executor gets."""
    inputs, message = taken.inputs, appio_pb2.PullAppMessagesResponse()
    write_deliveries(message, [taken.delivery])
    return launches_pb2.TakeResponse(
        token=taken.token,
        run_id=inputs.run.run_id,
        fab=encode_fab(inputs),
        inputs=encode_inputs(inputs).SerializeToString(),
        message=message.SerializeToString(),
    )


class LaunchEnds:
    """What becomes of launches, as executors and runners say it."""

    def __init__(
        self, leases: AppLeases, launches: WholeLaunches, logs: AppLogs, at_once: AtOnce
    ) -> None:
        self._leases, self._launches, self._logs = leases, launches, logs
        self._at_once = at_once

    def finish_now(self, lease: Lease, request: launches_pb2.FinishRequest) -> bool:
        """Keep what an app leaves and end its launch, if that takes but a moment.

        Returns:
            False: it takes longer; ``finish`` does it.

        Raises:
            FlwrError: it is refused.
        """
        if request.logs or not 0 < len(request.reply) <= AT_ONCE_BYTES:
            return False
        if not self._at_once.is_quick:
            return False
        self._launches.finish(lease, *_read_outcome(request))
        return True

    async def finish(self, lease: Lease, request: launches_pb2.FinishRequest) -> None:
        """Do the same however long it takes.

        Raises:
            FlwrError: it is refused.
        """
        is_large = len(request.reply) > AT_ONCE_BYTES
        reply, context = (
            await in_thread(_read_outcome, request) if is_large else _read_outcome(request)
        )
        if request.logs:
            await self._logs.take(lease.run_id, list(request.logs))
        if reply is None:
            await in_thread(self._launches.secure_reply, lease, context)
        at_once = NEVER_AT_ONCE if is_large else self._at_once
        await at_once(self._launches.finish, lease, reply, context)

    async def report_exit(self, request: launches_pb2.ReportExitRequest) -> None:
        """Take note that a runner has ended without finishing."""
        await in_thread(
            self._leases.report_exit,
            request.token,
            exit_code=request.exit_code,
            cause=request.cause or f"exited with code {request.exit_code}",
            stopped=request.stopped,
        )


def _read_outcome(request: launches_pb2.FinishRequest) -> tuple[Delivery | None, bytes]:
    """Return reply and context of what an app leaves.

    Raises:
        InvalidError: they cannot be read.
    """
    reply = None
    try:
        if request.reply:
            push = appio_pb2.PushAppMessagesRequest.FromString(request.reply)
            reply = read_deliveries(push, at_most=1)[0] if push.messages_list else None
        outputs = appio_pb2.PushAppOutputsRequest.FromString(request.outputs)
        return reply, outputs.context.SerializeToString(deterministic=True)
    except DecodeError as cause:
        raise InvalidError("the outcome of this launch cannot be read") from cause
