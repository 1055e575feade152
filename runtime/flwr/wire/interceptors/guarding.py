"""Wrapping a handler so that a guard sees the decoded request before the servicer does.

Guards run in the task of the call, so context variables they set are the servicer's too.
"""

import inspect
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, ClassVar

import grpc
from google.protobuf.message import DecodeError

from flwr.auth.headers import find_text
from flwr.core.errors import InvalidError

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic only for type checkers

Request = Any  # a protobuf message; which one depends on the method
Rpc = grpc.aio.ServicerContext[Any, Any]
Guard = Callable[[Request, Rpc, bytes], Awaitable[None]]
UnaryCall = Callable[[Request, Rpc], Awaitable[Any]]
StreamCall = Callable[[Request, Rpc], AsyncGenerator[Any, None]]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


class MalformedRequestError(InvalidError):
    """The request's bytes are no message of the method."""

    def __init__(self) -> None:
        """Say whose fault it is."""
        super().__init__("the request cannot be decoded")


class ServiceGuard(grpc.aio.ServerInterceptor, ABC):
    """Puts a guard before every method of some services; other services pass."""

    services: ClassVar[tuple[str, ...]]  # "/package.Service/"

    @abstractmethod
    def guard_of(self, details: grpc.HandlerCallDetails) -> Guard:
        """Return the guard of one call; called when its headers arrived."""

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Guard the handler of one call."""
        handler = await continuation(handler_call_details)
        if handler is None or not handler_call_details.method.startswith(self.services):
            return handler
        return guarded(handler, self.guard_of(handler_call_details))


def guarded(handler: Handler, guard: Guard) -> Handler:
    """Return ``handler`` with ``guard`` awaited first; what it raises ends the call.

    The guard sees the bytes as they came too, which is what some proofs are about.
    """
    decode = handler.request_deserializer or _as_it_is

    def unary(call: UnaryCall) -> UnaryCall:
        async def checked(raw: Any, rpc: Rpc) -> Any:
            request = _decoded(decode, raw)
            await guard(request, rpc, raw)
            del raw  # may be large, and the call may be long
            return await call(request, rpc)

        return checked

    def stream(call: StreamCall) -> StreamCall:
        async def checked(raw: Any, rpc: Rpc) -> AsyncGenerator[Any, None]:
            request = _decoded(decode, raw)
            await guard(request, rpc, raw)
            async with aclosing(call(request, rpc)) as responses:
                async for response in responses:
                    yield response

        return checked

    return rewritten(handler, unary, stream, decode=_as_it_is)


def rewritten(
    handler: Handler,
    unary: Callable[[UnaryCall], UnaryCall],
    stream: Callable[[StreamCall], StreamCall],
    *,
    decode: Callable[[bytes], Any] | None = None,
) -> Handler:
    """Return ``handler`` with its behaviour, and its decoder if one is given, replaced.

    Raises:
        TypeError: the handler takes a stream of requests, which no API of ours does.
    """
    if handler.request_streaming:
        raise TypeError("no guard knows how to check a stream of requests")
    decoder = decode or handler.request_deserializer
    if handler.response_streaming:
        assert handler.unary_stream is not None
        return grpc.unary_stream_rpc_method_handler(
            stream(_as_iterator(handler.unary_stream)),
            decoder,
            handler.response_serializer,
        )
    call: Any = handler.unary_unary  # the type stubs know only the synchronous form
    return grpc.unary_unary_rpc_method_handler(
        unary(call),
        decoder,
        handler.response_serializer,
    )


def headers_of(rpc: Rpc) -> tuple[tuple[str, str | bytes], ...]:
    """Return the call's request headers as pairs."""
    return tuple(rpc.invocation_metadata() or ())


def header(rpc: Rpc, key: str) -> str | None:
    """Return the text of a request header; None when it is missing, empty or repeated."""
    return find_text(headers_of(rpc), key)


def _as_it_is(raw: bytes) -> bytes:
    return raw


def _decoded(decode: Callable[[bytes], Any], raw: bytes) -> Request:
    try:
        return decode(raw)
    except DecodeError as cause:
        raise MalformedRequestError from cause


def _as_iterator(call: Callable[..., Any]) -> StreamCall:
    """Return a servicer's stream method as an iterator; it may also write to ``rpc`` itself."""

    async def iterate(request: Request, rpc: Rpc) -> AsyncGenerator[Any, None]:
        responses = call(request, rpc)
        if inspect.isawaitable(responses):
            await responses
            return
        async for response in responses:
            yield response

    return iterate
