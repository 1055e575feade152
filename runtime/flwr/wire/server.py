"""gRPC servers: one way to open a port, with the options of the wire contract (§2.2).

The order of interceptors is fixed by ``chain``: log, then errors, then proofs.  Whatever a proof or
a servicer raises is turned into a status by the second and seen by the first.
"""

import errno
import logging
import socket
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final

import grpc

from flwr.auth.tls import ServerTls
from flwr.core.errors import FlwrError, UnavailableError
from flwr.core.limits import (
    FRAME_BYTES,
    MAX_CONCURRENT_STREAMS,
    MAX_RPC_BYTES,
    SERVER_GRACE,
    SERVER_KEEPALIVE,
    WINDOW_BYTES,
)
from flwr.wire.channel import join_address, milliseconds, split_address
from flwr.wire.interceptors.access_log import AccessLog
from flwr.wire.interceptors.errors import ErrorMapping
from flwr.wire.interceptors.guarding import Layer, Layers
from flwr.wire.listening import CannotListenError, literal_addresses

logger = logging.getLogger(__name__)

Register = Callable[[grpc.aio.Server], None]
"""Adds one service: ``partial(add_FleetServicer_to_server, servicer)``."""

RenewedTls = Callable[[], ServerTls | None]
"""Returns what replaced a server's certificate since the last look, usually None."""

HANDSHAKE_DEADLINE: Final = timedelta(seconds=20)  # half-open connections are dropped after it
SHORTEST_CLIENT_PING: Final = timedelta(seconds=30)  # more frequent pings end the connection


class PortInUseError(UnavailableError):
    """Another program listens on the port."""

    def __init__(self, address: str) -> None:
        """Name the address."""
        super().__init__(
            f"port in use: cannot listen on {address}",
            hint="stop the program that holds it, or choose another port",
        )
        self.address = address


def chain(*proofs: Layer) -> tuple[grpc.aio.ServerInterceptor, ...]:
    """Return the interceptors of one server: log, then errors, then ``proofs``."""
    return (Layers((AccessLog(), ErrorMapping(), *proofs)),)


class RpcServer:
    """One listening port.  It is bound when it exists and serves between start and stop."""

    def __init__(self, server: grpc.aio.Server, host: str, port: int) -> None:
        self._server = server
        self._host = host
        self.port = port

    @property
    def address(self) -> str:
        """``host:port`` with the real port, also when port 0 was asked for."""
        return join_address(self._host, self.port)

    async def start(self) -> None:
        """Take calls."""
        await self._server.start()
        logger.info("Listening", extra={"event": "listening", "address": self.address})

    async def stop(self, grace: timedelta = SERVER_GRACE) -> None:
        """Take no new calls, give open ones ``grace``, then cancel them."""
        await self._server.stop(grace.total_seconds())


def make_server(
    address: str,
    *,
    services: Iterable[Register],
    tls: ServerTls | None,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    renewed_tls: RenewedTls | None = None,
    max_concurrent_streams: int = MAX_CONCURRENT_STREAMS,
) -> RpcServer:
    """Bind ``address`` and return the server, not yet started; call it inside the event loop.

    Args:
        address: ``host:port``; port 0 picks a free one.
        services: each adds one service.
        tls: what the server shows; None: clear text.
        interceptors: outermost first, usually ``chain(...)``.
        renewed_tls: asked at each handshake, in gRPC's threads, such as
            ``CertificateWatch.renewed``; running calls are not touched.
        max_concurrent_streams: open calls per connection; more wait in the client.

    Raises:
        PortInUseError: another program has the port.
        CannotListenError: the address is not this machine's, or not allowed.
    """
    host, _ = split_address(address)
    server = grpc.aio.server(
        interceptors=tuple(interceptors), options=_options(max_concurrent_streams)
    )
    for register in services:
        register(server)
    credentials = None if tls is None else _credentials(tls, renewed_tls)
    bound = [
        _bind(server, literal, credentials, asked=address)
        for literal in _bindable(literal_addresses(address), address)
    ]
    return RpcServer(server, host, bound[0])


def _bindable(literals: Sequence[str], address: str) -> Sequence[str]:
    """Return those that are addresses of this machine: a name may stand for others too.

    Raises:
        CannotListenError: none is.
    """
    if len(literals) == 1:
        return literals
    refusals = ((literal, _refusal(literal)) for literal in literals)
    ours = [
        literal
        for literal, refusal in refusals
        if refusal is None or refusal.errno == errno.EADDRINUSE
    ]
    if not ours:
        raise CannotListenError(address, f"none of {', '.join(literals)} is of this machine")
    return ours


def _bind(
    server: grpc.aio.Server,
    literal: str,
    credentials: grpc.ServerCredentials | None,
    *,
    asked: str,
) -> int:
    try:
        if credentials is None:
            port = server.add_insecure_port(literal)
        else:
            port = server.add_secure_port(literal, credentials)
    except RuntimeError as cause:
        raise _why_not_bound(literal, asked) from cause
    if port == 0:
        raise _why_not_bound(literal, asked)
    return port


def _options(max_concurrent_streams: int) -> tuple[tuple[str, int], ...]:
    return (
        ("grpc.max_concurrent_streams", max(max_concurrent_streams, 100)),
        ("grpc.max_send_message_length", MAX_RPC_BYTES),
        ("grpc.max_receive_message_length", MAX_RPC_BYTES),
        ("grpc.http2.max_frame_size", FRAME_BYTES),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),  # else the window grows to 16 MiB and more
        ("grpc.keepalive_time_ms", milliseconds(SERVER_KEEPALIVE)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 0),
        ("grpc.http2.min_ping_interval_without_data_ms", milliseconds(SHORTEST_CLIENT_PING)),
        ("grpc.server_handshake_timeout_ms", milliseconds(HANDSHAKE_DEADLINE)),
        ("grpc.so_reuseport", 0),
    )


def _credentials(tls: ServerTls, renewed_tls: RenewedTls | None) -> grpc.ServerCredentials:
    if renewed_tls is None:
        return grpc.ssl_server_credentials([(tls.key, tls.certificate)])
    shown = _configuration(tls)

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal shown
        try:
            renewed = renewed_tls()
        except FlwrError as error:
            logger.warning(
                "New certificate refused, the old one stays",
                extra={"event": "certificate-refused", "cause": error.message},
            )
            return shown
        if renewed is not None:
            shown = _configuration(renewed)
            logger.info("Certificate renewed", extra={"event": "certificate-renewed"})
        return shown

    return grpc.dynamic_ssl_server_credentials(shown, fetch)


def _configuration(tls: ServerTls) -> grpc.ServerCertificateConfiguration:
    return grpc.ssl_server_certificate_configuration([(tls.key, tls.certificate)])


def _why_not_bound(literal: str, asked: str) -> FlwrError:
    refusal = _refusal(literal)
    if refusal is None or refusal.errno == errno.EADDRINUSE:
        return PortInUseError(asked)  # perhaps free now; then it was taken a moment ago
    where = asked if asked == literal else f"{asked} ({literal})"
    return CannotListenError(where, refusal.strerror or str(refusal))


def _refusal(literal: str) -> OSError | None:
    """Bind without gRPC, which does not tell why it could not."""
    host, port = split_address(literal)
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind((host, port))
    except OSError as refusal:
        return refusal
    return None
