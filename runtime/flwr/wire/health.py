"""Health: what a daemon says of itself on its own plain-text port, and the probe that asks.

The state is real (wire contract §19 no. 30): a daemon sets it, Check tells it, Watch follows it.
"""

import argparse
import asyncio
import sys
from collections.abc import AsyncIterator, Sequence
from enum import IntEnum
from typing import Any, Final, NoReturn

import grpc
from grpc_health.v1 import health_pb2

from flwr.core.errors import FlwrError, NotFoundError
from flwr.wire.channel import open_channel
from flwr.wire.errors import from_rpc_error
from flwr.wire.interceptors.guarding import Request, Rpc
from flwr.wire.server import RpcServer, chain, make_server

Response = Any  # the health package carries no types

PROBE_DEADLINE_S: Final = 3.0
WHOLE: Final = ""  # the name under which a server's overall state is asked
_SERVICE: Final = "grpc.health.v1.Health"
_CHECK: Final = f"/{_SERVICE}/Check"


class ServingStatus(IntEnum):
    """The states of the standard's answer, by number."""

    SERVING = 1
    NOT_SERVING = 2
    SERVICE_UNKNOWN = 3  # only told by Watch


class Health:
    """The state of a daemon and its services.  Use it from the event loop only.

    It starts as not serving: a daemon serves when it says so.
    """

    def __init__(self) -> None:
        self._states = {WHOLE: ServingStatus.NOT_SERVING}
        self._changed = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """True while the daemon as a whole takes calls."""
        return self._states[WHOLE] is ServingStatus.SERVING

    async def until_changed(self) -> None:
        """Return at the next change of any state."""
        await self._changed.wait()

    def tell(self, is_serving: bool) -> None:
        """Say whether the daemon as a whole takes calls."""
        self._set(WHOLE, ServingStatus.SERVING if is_serving else ServingStatus.NOT_SERVING)

    def set_serving(self, service: str = WHOLE) -> None:
        """Say that ``service`` takes calls."""
        self._set(service, ServingStatus.SERVING)

    def set_not_serving(self, service: str = WHOLE) -> None:
        """Say that ``service`` does not take calls now."""
        self._set(service, ServingStatus.NOT_SERVING)

    def register(self, server: grpc.aio.Server) -> None:
        """Add the standard's service to a server."""
        shape = {
            "request_deserializer": health_pb2.HealthCheckRequest.FromString,
            "response_serializer": health_pb2.HealthCheckResponse.SerializeToString,
        }
        check: Any = self._check  # the type stubs know only the synchronous form
        watch: Any = self._watch
        methods = {
            "Check": grpc.unary_unary_rpc_method_handler(check, **shape),
            "Watch": grpc.unary_stream_rpc_method_handler(watch, **shape),
        }
        handler = grpc.method_handlers_generic_handler(_SERVICE, methods)
        server.add_generic_rpc_handlers((handler,))

    async def _check(self, request: Request, _rpc: Rpc) -> Response:
        state = self._states.get(request.service)
        if state is None:
            raise NotFoundError(f"no service {request.service!r} here")
        return health_pb2.HealthCheckResponse(status=state)

    async def _watch(self, request: Request, _rpc: Rpc) -> AsyncIterator[Response]:
        """Tell the present state, then every change, until the caller goes away."""
        told: ServingStatus | None = None
        while True:
            changed = self._changed
            state = self._states.get(request.service, ServingStatus.SERVICE_UNKNOWN)
            if state is not told:
                yield health_pb2.HealthCheckResponse(status=state)
                told = state
            await changed.wait()

    def _set(self, service: str, state: ServingStatus) -> None:
        if self._states.get(service) is state:
            return
        self._states[service] = state
        self._changed.set()
        self._changed = asyncio.Event()  # whoever looks from now on waits for the next change


def make_health_server(address: str, health: Health) -> RpcServer:
    """Bind the health port, always clear text, so that every orchestrator can ask.

    Raises:
        PortInUseError: another program has the port.
        CannotListenError: the address is not this machine's, or not allowed.
    """
    return make_server(
        address,
        services=[health.register],
        tls=None,
        interceptors=chain(),
    )


def probe(address: str, service: str = WHOLE) -> bool:
    """Ask the health port at ``address`` once; True when ``service`` takes calls.

    Raises:
        FlwrError: there was no answer within three seconds, or no such service.
    """
    with open_channel(address, None) as channel:
        check = channel.unary_unary(
            _CHECK,
            health_pb2.HealthCheckRequest.SerializeToString,
            health_pb2.HealthCheckResponse.FromString,
        )
        request = health_pb2.HealthCheckRequest(service=service)
        try:
            answer = check(request, timeout=PROBE_DEADLINE_S)
        except grpc.RpcError as cause:
            raise from_rpc_error(cause, method=_CHECK) from cause
    return bool(answer.status == ServingStatus.SERVING)


def run_probe(argv: Sequence[str]) -> int:
    """Return the exit status of the probe: 0 serving, 1 anything else."""
    parser = argparse.ArgumentParser(
        prog="flwr-health",
        description="Ask a daemon's health port; exit status 0 means that it takes calls.",
    )
    parser.add_argument("address", metavar="HOST:PORT", help="the daemon's health address")
    parser.add_argument("--service", default=WHOLE, help="one service instead of the daemon")
    asked = parser.parse_args(list(argv))
    try:
        is_serving = probe(asked.address, asked.service)
    except FlwrError as error:
        sys.stderr.write(f"flwr-health: {asked.address}: {error.message}\n")
        return 1
    sys.stdout.write("serving\n" if is_serving else "not serving\n")
    return 0 if is_serving else 1


def main() -> NoReturn:
    """Run ``flwr-health``."""
    raise SystemExit(run_probe(sys.argv[1:]))
