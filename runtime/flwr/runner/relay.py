"""The app's calls, forwarded as bytes: only methods its kind may use, always with the launch token.

Nothing is decoded here.  While the daemon is unavailable a call is tried again; a daemon that
refuses the token is remembered, because then the launch is over.
"""

import asyncio
from collections.abc import AsyncGenerator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

import grpc

from flwr.auth.app_tokens import token_headers
from flwr.auth.tls import ClientTls
from flwr.core.clock import Clock
from flwr.core.errors import DeniedError, ErrorKind, FlwrError, UnimplementedError
from flwr.core.lease import AppKind
from flwr.core.limits import APP_PATIENCE, CONTACT_LOST
from flwr.wire.appio_methods import PUSH_PIECES, TAKE_LAUNCH, method_of
from flwr.wire.clients.bulk import MessageStream, failure_of_stream, next_message
from flwr.wire.clients.deadlines import FAB_S, HELD_S, OBJECT_S, deadline_s
from flwr.wire.clients.tube import Tubes
from flwr.wire.diagnose import explain
from flwr.wire.errors import from_rpc_error
from flwr.wire.pipe import Request
from flwr.wire.retry import Retry
from flwr.wire.transport import NO_METADATA, with_token

_SHARED: Final = ("PushObject", "PullObject", "ConfirmMessageReceived")
_OF_SERVERAPPS: Final = (
    "PullAppInputs",
    "PushAppOutputs",
    "GetRun",
    "GetNodes",
    "PushMessages",
    "PullMessages",
)
_ALLOWED: Final[Mapping[AppKind, frozenset[str]]] = {
    AppKind.SERVERAPP: frozenset(
        method_of(AppKind.SERVERAPP, name) for name in (*_SHARED, *_OF_SERVERAPPS)
    ),
    AppKind.CLIENTAPP: frozenset(
        (
            TAKE_LAUNCH,
            *(method_of(AppKind.CLIENTAPP, name) for name in (*_SHARED, "PushMessage")),
        )
    ),
}
_ANSWERS_TAKE_S: Final[Mapping[str, float]] = {
    "PullAppInputs": FAB_S,
    "PullMessages": HELD_S,
    "PullObject": OBJECT_S,
}
_HEARTBEAT: Final = "SendAppHeartbeat"
_HEARTBEAT_S: Final = (APP_PATIENCE / 3).total_seconds()
"""One that hangs, on a connection that is dead and does not know it, must not cost the lease."""

if TYPE_CHECKING:  # generic only for type checkers
    _Pull = grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
    _Push = grpc.aio.StreamStreamMultiCallable[bytes, bytes]


class Relay:
    """Calls of one launch to its daemon."""

    def __init__(
        self,
        channel: grpc.aio.Channel,
        token: str,
        *,
        retry: Retry,
        tubes: Tubes | None = None,
    ) -> None:
        self._channel, self._token, self._retry = channel, token, retry
        self._tubes = tubes  # of its executor, past gRPC
        self.refused: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done when the daemon has said that the token is dead."""

    async def call(
        self,
        method: str,
        request: bytes,
        *,
        metadata: Mapping[str, str] = NO_METADATA,
        patience: timedelta | None = None,
    ) -> bytes:
        """Forward one call; see ``wire.clients.runner.AsyncCaller``."""
        attempt = partial(self._attempt, method, request, metadata)
        if patience == timedelta(0):
            return await attempt()
        retry = self._retry if patience is None else Retry(deadline=patience)
        return await retry.call(attempt)

    async def _attempt(self, method: str, request: bytes, metadata: Mapping[str, str]) -> bytes:
        name = method.rpartition("/")[2]
        timeout_s = max(deadline_s(len(request)), _ANSWERS_TAKE_S.get(name, 0.0))
        if name == _HEARTBEAT:
            timeout_s = _HEARTBEAT_S
        try:
            if self._tubes is not None:
                said = await self._tubes.call(method, request, self._token, metadata, timeout_s)
                if said is not None:
                    return said
        except FlwrError as failure:
            raise self._noted(failure) from None
        call: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(method)
        body = with_token(method, request, self._token)
        headers = (*token_headers(self._token), *metadata.items())
        try:
            return await call(body, timeout=timeout_s, metadata=headers)
        except grpc.RpcError as error:
            raise self._noted(from_rpc_error(error, method=method)) from None

    def _noted(self, failure: FlwrError) -> FlwrError:
        if failure.kind is ErrorKind.UNAUTHENTICATED and not self.refused.done():
            self.refused.set_result(None)
        return failure

    async def stream(
        self, request: Request, more: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[bytes, None]:
        """Forward a call of many messages, once; the app goes on by itself where it broke.

        Raises:
            UnimplementedError: the daemon has no such call.
            FlwrError: the daemon's.
        """
        method, headers = request.method, token_headers(self._token)
        call: MessageStream
        if method != PUSH_PIECES:
            pull: _Pull = self._channel.unary_stream(method)
            call = pull(request.body, metadata=headers)
        else:
            push: _Push = self._channel.stream_stream(method)
            call = push(_chained(request.body, more), metadata=headers)
        try:
            while (message := await next_message(call)) is not None:
                yield message
        except grpc.RpcError as error:
            failure = failure_of_stream(error, method)
            if failure.kind is ErrorKind.UNAUTHENTICATED:
                # Upstream 1.29 says so of any method it does not know.  Should the token be dead,
                # the next call of the contract is told.
                raise UnimplementedError(f"the daemon does not serve {method}") from None
            raise failure from None
        finally:
            call.cancel()


async def _chained(first: bytes, more: AsyncGenerator[bytes, None]) -> AsyncGenerator[bytes, None]:
    yield first
    async for message in more:
        yield message


def retry_policy(address: str, tls: ClientTls | None, clock: Clock) -> Retry:
    """Return how a runner waits for its daemon: through a restart, not for ever."""
    return Retry(deadline=CONTACT_LOST, explain=partial(explain, address, tls), clock=clock)


def require_allowed(kind: AppKind, request: Request) -> None:
    """Check that an app of ``kind`` may make the call.

    Raises:
        DeniedError: it may not.
    """
    if request.method not in _ALLOWED[kind]:
        raise DeniedError(f"a {kind} may not call {request.method}")


def is_gone(error: FlwrError) -> bool:
    """Tell whether the daemon says that there is nothing left to do for this launch."""
    return error.kind in {ErrorKind.UNAUTHENTICATED, ErrorKind.NOT_RUNNING, ErrorKind.NOT_FOUND}
