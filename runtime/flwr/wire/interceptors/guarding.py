"""Wrapping a handler so that a guard sees the decoded request before the servicer does.

Guards run in the task of the call, so context variables they set are the servicer's too.
"""

import inspect
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import TYPE_CHECKING, Any

import grpc

if TYPE_CHECKING:
    Handler = grpc.RpcMethodHandler[Any, Any]
else:
    Handler = grpc.RpcMethodHandler  # generic only for type checkers

Request = Any  # a protobuf message; which one depends on the method
Rpc = grpc.aio.ServicerContext[Any, Any]
Guard = Callable[[Request, Rpc], Awaitable[None]]
UnaryCall = Callable[[Request, Rpc], Awaitable[Any]]
StreamCall = Callable[[Request, Rpc], AsyncIterator[Any]]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]


def guarded(handler: Handler, guard: Guard) -> Handler:
    """Return ``handler`` with ``guard`` awaited first; what it raises ends the call."""

    def unary(call: UnaryCall) -> UnaryCall:
        async def checked(request: Request, rpc: Rpc) -> Any:
            await guard(request, rpc)
            return await call(request, rpc)

        return checked

    def stream(call: StreamCall) -> StreamCall:
        async def checked(request: Request, rpc: Rpc) -> AsyncIterator[Any]:
            await guard(request, rpc)
            async for response in call(request, rpc):
                yield response

        return checked

    return rewritten(handler, unary, stream)


def rewritten(
    handler: Handler,
    unary: Callable[[UnaryCall], UnaryCall],
    stream: Callable[[StreamCall], StreamCall],
) -> Handler:
    """Return ``handler`` with its behaviour replaced; calls with request streams are refused.

    Raises:
        TypeError: the handler takes a stream of requests, which no API of ours does.
    """
    if handler.request_streaming:
        raise TypeError("no guard knows how to check a stream of requests")
    if handler.response_streaming:
        assert handler.unary_stream is not None
        return grpc.unary_stream_rpc_method_handler(
            stream(_as_iterator(handler.unary_stream)),
            handler.request_deserializer,
            handler.response_serializer,
        )
    call: Any = handler.unary_unary  # the type stubs know only the synchronous form
    return grpc.unary_unary_rpc_method_handler(
        unary(call),
        handler.request_deserializer,
        handler.response_serializer,
    )


def headers_of(rpc: Rpc) -> tuple[tuple[str, str | bytes], ...]:
    """Return the call's request headers as pairs."""
    return tuple(rpc.invocation_metadata() or ())


def _as_iterator(call: Callable[..., Any]) -> StreamCall:
    """Return a servicer's stream method as an iterator; it may also write to ``rpc`` itself."""

    async def iterate(request: Request, rpc: Rpc) -> AsyncIterator[Any]:
        responses = call(request, rpc)
        if inspect.isawaitable(responses):
            await responses
            return
        async for response in responses:
            yield response

    return iterate
