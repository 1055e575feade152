"""Real gRPC on loopback for tests: a server of any handlers, and calls to it."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import grpc
from google.protobuf.message import Message

from flwr.auth.tls import ClientTls, ServerTls
from flwr.wire.channel import open_aio_channel
from flwr.wire.server import Register, RpcServer, make_server


def _same(message: bytes) -> bytes:
    return message


def unary(channel: grpc.aio.Channel, method: str) -> grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]:
    """Return a method of a channel whose messages are plain bytes."""
    return channel.unary_unary(method, _same, _same)


def stream(
    channel: grpc.aio.Channel, method: str
) -> grpc.aio.UnaryStreamMultiCallable[bytes, bytes]:
    """Return a streaming method of a channel whose messages are plain bytes."""
    return channel.unary_stream(method, _same, _same)


def byte_service(
    service: str,
    unary: Mapping[str, Any] | None = None,
    stream: Mapping[str, Any] | None = None,
) -> Register:
    """Return a service whose messages are plain bytes."""
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(call, _same, _same)
        for name, call in (unary or {}).items()
    } | {
        name: grpc.unary_stream_rpc_method_handler(call, _same, _same)
        for name, call in (stream or {}).items()
    }
    handler = grpc.method_handlers_generic_handler(service, handlers)
    return lambda server: server.add_generic_rpc_handlers((handler,))


def message_service(
    service: str,
    unary: Mapping[str, tuple[type[Message], Any]],
    stream: Mapping[str, tuple[type[Message], Any]] | None = None,
) -> Register:
    """Return a service of protobuf messages: method name to request class and behaviour."""

    def encode(response: Message) -> bytes:
        return response.SerializeToString()

    handlers = {
        name: grpc.unary_unary_rpc_method_handler(call, request.FromString, encode)
        for name, (request, call) in unary.items()
    } | {
        name: grpc.unary_stream_rpc_method_handler(call, request.FromString, encode)
        for name, (request, call) in (stream or {}).items()
    }
    handler = grpc.method_handlers_generic_handler(service, handlers)
    return lambda server: server.add_generic_rpc_handlers((handler,))


@asynccontextmanager
async def serving(
    *services: Register,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    tls: ServerTls | None = None,
    **options: Any,
) -> AsyncIterator[RpcServer]:
    """Serve on a free port of 127.0.0.1."""
    server = make_server(
        "127.0.0.1:0", services=services, tls=tls, interceptors=interceptors, **options
    )
    await server.start()
    try:
        yield server
    finally:
        await server.stop(timedelta(0))


@asynccontextmanager
async def connected(
    *services: Register,
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    tls: ServerTls | None = None,
    trust: ClientTls | None = None,
) -> AsyncIterator[grpc.aio.Channel]:
    """Serve, and yield a channel to the server."""
    async with (
        serving(*services, interceptors=interceptors, tls=tls) as server,
        open_aio_channel(server.address, trust) as channel,
    ):
        yield channel
