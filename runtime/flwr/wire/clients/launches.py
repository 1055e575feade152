"""A SuperExec's calls to an AppIo port: claim what waits, at once or in steps; say that it ended.

Each call is tried once, and is proven by the shared secret where there is one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import grpc
from google.protobuf.message import Message

from flwr import __version__
from flwr.auth.superexec_auth import SuperExecSecret, sign_call
from flwr.core.app_choice import EVERY_APP, AppChoice
from flwr.core.clock import Clock
from flwr.core.errors import ErrorKind, UnauthenticatedError, UnimplementedError
from flwr.core.ids import RunId
from flwr.core.lease import AppKind
from flwr.core.run import Run
from flwr.proto import appio_pb2, run_pb2
from flwr.proto.compose.v1 import launches_pb2
from flwr.wire import metadata
from flwr.wire.appio_methods import OPEN_TUBE, REPORT_EXIT, TAKE_LAUNCH, method_of
from flwr.wire.clients.deadlines import FAB_S, HELD_S, deadline_s
from flwr.wire.clients.tube import Tubes
from flwr.wire.clients.work import Bundles, Work, read_taken
from flwr.wire.codec.pieces import Invitation
from flwr.wire.codec.runs import decode_run
from flwr.wire.errors import from_rpc_error
from flwr.wire.tube import TubeFrame, TubeLostError

Response = TypeVar("Response", bound=Message)


@dataclass(frozen=True, slots=True)
class TakenLaunch:
    """A launch that came whole."""

    token: str
    work: Work

    def __repr__(self) -> str:
        return f"TakenLaunch({self.work})"


class LaunchesClient:
    """Speaks for one SuperExec.

    Args:
        channel: stays the caller's to close.
        kind: which of the two AppIo services is at the other end.
        clock: gives the instants that are signed.
        secret: proves the SuperExec; None where the daemon has none.
        only_apps: what it launches; a daemon that does not know this names others too.
        bundles: those that need not be sent.
        tubes: a way past gRPC, where the daemon has one.
    """

    def __init__(
        self,
        channel: grpc.aio.Channel,
        kind: AppKind,
        *,
        clock: Clock,
        secret: SuperExecSecret | None = None,
        only_apps: AppChoice = EVERY_APP,
        bundles: Bundles | None = None,
        tubes: Tubes | None = None,
    ) -> None:
        self._channel, self._tubes = channel, tubes
        self._bundles = bundles or Bundles()
        self._kind = kind
        self._clock = clock
        self._secret = secret
        self._only_apps: tuple[tuple[str, str], ...] = ()
        if only_apps.fab_ids is not None:
            self._only_apps = ((metadata.ONLY_APPS, str(only_apps)),)

    async def take(self) -> TakenLaunch | None:
        """Claim a launch and get all it needs; the server may hold the call.  None: none waits.

        Raises:
            FlwrError: also where the daemon lacks the call: it says that in several ways.
        """
        request = launches_pb2.TakeRequest(bundles=self._bundles.digests)
        taken = await self._take_by_tube(request)
        if taken is None:
            taken = await self._call(
                TAKE_LAUNCH,
                request,
                launches_pb2.TakeResponse.FromString,
                timeout_s=HELD_S + FAB_S,
                headers=self._only_apps,
            )
        return TakenLaunch(taken.token, read_taken(taken, self._bundles)) if taken.token else None

    async def _take_by_tube(
        self, request: launches_pb2.TakeRequest
    ) -> launches_pb2.TakeResponse | None:
        """Do it past gRPC; None where there is no tube."""
        tube = None if self._tubes is None else await self._tubes.open(self._invite)
        if tube is None:
            return None
        try:
            taken = await tube.call(TubeFrame.TAKE, request.SerializeToString(), timeout_s=HELD_S)
        except TubeLostError:
            return None
        return launches_pb2.TakeResponse.FromString(taken)

    async def _invite(self) -> Invitation:
        tube = await self._call(
            OPEN_TUBE,
            launches_pb2.OpenTubeRequest(),
            launches_pb2.Tube.FromString,
            headers=self._only_apps,
        )
        return Invitation(tube.address, tube.ticket)

    async def list_apps(self) -> list[RunId]:
        """Return runs that wait for an app process; the server may hold the call."""
        response = await self._call(
            method_of(self._kind, "ListAppsToLaunch"),
            appio_pb2.ListAppsToLaunchRequest(),
            appio_pb2.ListAppsToLaunchResponse.FromString,
            timeout_s=HELD_S,
            headers=self._only_apps,
        )
        return [RunId(run_id) for run_id in response.run_ids]

    async def request_token(self, run_id: RunId) -> str:
        """Claim the launch for one run; empty when somebody else has it."""
        response = await self._call(
            method_of(self._kind, "RequestToken"),
            appio_pb2.RequestTokenRequest(run_id=run_id),
            appio_pb2.RequestTokenResponse.FromString,
        )
        return response.token

    async def get_run(self, run_id: RunId) -> Run | None:
        """Return the run, None when it is unknown."""
        response = await self._call(
            method_of(self._kind, "GetRun"),
            run_pb2.GetRunRequest(run_id=run_id),
            run_pb2.GetRunResponse.FromString,
        )
        return decode_run(response.run) if response.run.run_id == run_id else None

    async def report_exit(
        self, token: str, exit_code: int, cause: str, *, stopped: bool = False
    ) -> None:
        """Say that a runner ended without finishing.

        A daemon that does not offer the call (upstream 1.29 says UNAUTHENTICATED, others
        UNIMPLEMENTED) notices by itself when the launch lapses; so does one whose launch is over.

        Args:
            token: of the launch.
            exit_code: the status; the negative signal number when a signal ended it.
            cause: the same for a person.
            stopped: we stopped it, because we are going away; others may launch it again.
        """
        request = launches_pb2.ReportExitRequest(
            token=token, exit_code=exit_code, cause=cause, stopped=stopped
        )
        try:
            await self._call(REPORT_EXIT, request, launches_pb2.ReportExitResponse.FromString)
        except (UnimplementedError, UnauthenticatedError):
            return

    async def _call(
        self,
        method: str,
        request: Message,
        parse: Callable[[bytes], Response],
        *,
        timeout_s: float | None = None,
        headers: tuple[tuple[str, str], ...] = (),
    ) -> Response:
        body = request.SerializeToString(deterministic=True)
        send: grpc.aio.UnaryUnaryMultiCallable[bytes, Response] = self._channel.unary_unary(
            method, response_deserializer=parse
        )
        try:
            return await send(
                body,
                timeout=deadline_s() if timeout_s is None else timeout_s,
                metadata=((metadata.VERSION, __version__), *headers, *self._proof(method, body)),
            )
        except grpc.RpcError as cause:
            error = from_rpc_error(cause, method=method)
            if self._tubes is not None and error.kind is ErrorKind.UNAVAILABLE:
                self._tubes.reconsider()
            raise error from cause

    def _proof(self, method: str, body: bytes) -> tuple[tuple[str, str], ...]:
        if self._secret is None:
            return ()
        return sign_call(self._secret, method, body, at=self._clock.now())
