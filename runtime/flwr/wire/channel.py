"""Client channels: one set of options for every program, TLS or clear text (wire contract §2.2)."""

import ipaddress
from datetime import timedelta
from typing import Final

import grpc

from flwr.auth.tls import ClientTls
from flwr.core.errors import InvalidError
from flwr.core.limits import CLIENT_KEEPALIVE, FRAME_BYTES, MAX_RPC_BYTES, RETRY_FIRST, WINDOW_BYTES

# Between attempts to connect; gRPC's own 120 s would keep a node away long after its link is back.
RECONNECT_CAP: Final = timedelta(seconds=5)
KEEPALIVE_ANSWER: Final = timedelta(seconds=20)
_MAX_PORT: Final = 65_535
_SAME_HOST: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - rewritten, not bound


class AddressError(InvalidError):
    """The text is no ``host:port``."""

    def __init__(self, address: str) -> None:
        """Show the text and the wanted form."""
        super().__init__(
            f"{address!r} is not an address",
            hint="write HOST:PORT without a scheme, such as superlink.example.org:9092",
        )


def split_address(address: str) -> tuple[str, int]:
    """Return host (without brackets) and port of ``host:port``.

    Raises:
        AddressError: it has another form.
    """
    host, colon, port = address.strip().rpartition(":")
    bare = host[1:-1] if host.startswith("[") and host.endswith("]") else host
    is_bracketed = bare != host
    if not colon or not bare or not port.isascii() or not port.isdigit() or int(port) > _MAX_PORT:
        raise AddressError(address)
    if "/" in bare or (":" in bare) != is_bracketed:
        raise AddressError(address)
    return bare, int(port)


def join_address(host: str, port: int) -> str:
    """Return ``host:port``, with brackets around an IPv6 address."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def client_address(address: str) -> str:
    """Return where a client of a server bound to ``address`` on this machine connects.

    Raises:
        AddressError: it is no ``host:port``.
    """
    host, port = split_address(address)
    return join_address(_SAME_HOST.get(host, host), port)


def open_channel(address: str, tls: ClientTls | None) -> grpc.Channel:
    """Return a channel for synchronous callers; it connects at the first call.

    Raises:
        AddressError: ``address`` is no ``host:port``.
    """
    target, options = client_address(address), _options(address)
    if tls is None:
        return grpc.insecure_channel(target, options)
    return grpc.secure_channel(target, _credentials(tls), options)


def open_aio_channel(address: str, tls: ClientTls | None) -> grpc.aio.Channel:
    """Return a channel for the running event loop; it connects at the first call.

    Raises:
        AddressError: ``address`` is no ``host:port``.
    """
    target, options = client_address(address), _options(address)
    if tls is None:
        return grpc.aio.insecure_channel(target, options)
    return grpc.aio.secure_channel(target, _credentials(tls), options)


def milliseconds(duration: timedelta) -> int:
    """Return the form in which gRPC's options take a duration."""
    return int(duration.total_seconds() * 1000)


def _credentials(tls: ClientTls) -> grpc.ChannelCredentials:
    return grpc.ssl_channel_credentials(tls.root_certificates)


def _options(address: str) -> tuple[tuple[str, int], ...]:
    host, _ = split_address(client_address(address))
    return (
        ("grpc.max_send_message_length", MAX_RPC_BYTES),
        ("grpc.max_receive_message_length", MAX_RPC_BYTES),
        ("grpc.http2.max_frame_size", FRAME_BYTES),
        ("grpc.http2.lookahead_bytes", WINDOW_BYTES),
        ("grpc.http2.bdp_probe", 0),  # else the window grows to 16 MiB and more
        ("grpc.keepalive_time_ms", milliseconds(CLIENT_KEEPALIVE)),
        ("grpc.keepalive_timeout_ms", milliseconds(KEEPALIVE_ANSWER)),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.initial_reconnect_backoff_ms", milliseconds(RETRY_FIRST)),
        ("grpc.min_reconnect_backoff_ms", milliseconds(RECONNECT_CAP)),
        ("grpc.max_reconnect_backoff_ms", milliseconds(RECONNECT_CAP)),
        ("grpc.use_local_subchannel_pool", 1),  # channels of one process fail independently
        ("grpc.enable_http_proxy", int(not _is_loopback(host))),
    )


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
