"""Edge of tubes to executors: the calls of ``compose`` and the heartbeats of apps, past gRPC.

What is small is done where it arrives, in a callback of the event loop; what has to wait for a
thread gets a task.
"""

import asyncio
from collections.abc import Coroutine
from typing import Any

from google.protobuf.message import DecodeError

from flwr.auth.app_tokens import TokenRefusedError, hash_token
from flwr.core.app_choice import AppChoice
from flwr.core.lease import Lease
from flwr.proto import heartbeat_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.shell.in_thread import in_thread
from flwr.supernode.handover import Handover, Outcome
from flwr.supernode.leases import AppLeases
from flwr.supernode.rpc.waiting import WaitingExecutors
from flwr.supernode.rpc.whole_launch import LaunchEnds, encode_taken
from flwr.wire import metadata
from flwr.wire.codec.pieces import Invitation
from flwr.wire.interceptors.guarding import MalformedRequestError
from flwr.wire.tube import TubeFrame
from flwr.wire.tube_server import TubeCall, TubeServer


class TubeDesks:
    """Answers the calls of all executors that have a tube."""

    def __init__(
        self,
        server: TubeServer,
        leases: AppLeases,
        ends: LaunchEnds,
        waiting: WaitingExecutors,
        handover: Handover,
    ) -> None:
        self._server, self._leases, self._ends = server, leases, ends
        self._waiting, self._handover = waiting, handover
        self._tasks: set[asyncio.Task[None]] = set()

    def invite(self, choice: AppChoice) -> Invitation:
        """Return what opens a tube, once.

        Args:
            choice: the apps that its executor launches.
        """

        def answer(call: TubeCall) -> None:
            try:
                self._answer(call, choice)
            except DecodeError as cause:
                raise MalformedRequestError from cause

        return self._server.invite(answer)

    def _answer(self, call: TubeCall, choice: AppChoice) -> None:
        if call.kind is TubeFrame.TAKE:
            self._take(call, choice)
        elif call.kind is TubeFrame.FINISH:
            self._finish(call)
        elif call.kind is TubeFrame.RENEW:
            self._begin(call, self._renew(call))
        else:
            self._begin(call, self._report(call))

    def _take(self, call: TubeCall, choice: AppChoice) -> None:
        request = launches_pb2.TakeRequest.FromString(call.payload)

        def answer(outcome: Outcome) -> bool:
            if outcome is None:
                self._begin(call, self._say_that_none_came(call))
                return True
            if isinstance(outcome, Exception):
                return call.fail(outcome)
            return call.answer(encode_taken(outcome).SerializeToString())

        waiter = self._handover.enter(choice, frozenset(request.bundles), answer)

        def cancel() -> None:
            self._handover.leave(waiter)
            call.answer()

        call.on_cancel = cancel

    async def _say_that_none_came(self, call: TubeCall) -> None:
        await self._waiting.say_what_waits()
        call.answer()

    def _finish(self, call: TubeCall) -> None:
        request = launches_pb2.FinishRequest.FromString(call.payload)
        lease = self._leases.live.recall(hash_token(request.token))
        if lease is not None and self._ends.finish_now(lease, request):
            call.answer()
        else:
            self._begin(call, self._finish_later(call, request))

    async def _finish_later(self, call: TubeCall, request: launches_pb2.FinishRequest) -> None:
        await self._ends.finish(await self._require_lease(request.token), request)
        call.answer()

    async def _renew(self, call: TubeCall) -> None:
        request = launches_pb2.Renewal.FromString(call.payload)
        lease = await self._require_lease(request.token)
        next_in = metadata.read_heartbeat(request.heartbeat_s or None)
        lives = await in_thread(self._leases.heartbeat, lease.token_hash, next_in=next_in)
        call.answer(heartbeat_pb2.SendAppHeartbeatResponse(success=lives).SerializeToString())

    async def _report(self, call: TubeCall) -> None:
        request = launches_pb2.ReportExitRequest.FromString(call.payload)
        await self._ends.report_exit(request)
        call.answer()

    async def _require_lease(self, token: str) -> Lease:
        lease = await in_thread(self._leases.live.find, hash_token(token))
        if lease is None:
            raise TokenRefusedError
        return lease

    def _begin(self, call: TubeCall, work: Coroutine[Any, Any, None]) -> None:
        async def done() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001 - the edge: every error ends here
                call.fail(error)

        task = asyncio.get_running_loop().create_task(done(), name="tube-call")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
