"""What stands between gRPC and a servicer: layers around handlers, put there once per method.

A layer may look at the headers of each call when they arrive (``begin``) and at everything else in
the handler it returned (``around``).  Both run in the task of the call, so context variables that
one sets are the other's and the servicer's too.
"""

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from contextvars import ContextVar
from dataclasses import dataclass
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
Pairs = tuple[tuple[str, str | bytes], ...]
Guard = Callable[[Request, Rpc, bytes], Awaitable[None]]
UnaryCall = Callable[[Request, Rpc], Awaitable[Any]]
StreamCall = Callable[[Request, Rpc], AsyncGenerator[Any, None]]
Continuation = Callable[[grpc.HandlerCallDetails], Awaitable[Handler | None]]

logger = logging.getLogger(__name__)

_headers: ContextVar[Pairs | None] = ContextVar("headers", default=None)


class MalformedRequestError(InvalidError):
    """The request's bytes are no message of the method."""

    def __init__(self) -> None:
        """Say whose fault it is."""
        super().__init__("the request cannot be decoded")


@dataclass(frozen=True, slots=True)
class Opened:
    """A stream of requests whose first message, decoded, is proven.

    What follows is bound to nothing: a servicer judges it by what the first message says.
    """

    request: Request
    rest: AsyncIterator[bytes]
    """As the bytes come."""


class Layer(ABC):
    """One of the layers around every handler of a server."""

    def begin(self, method: str, headers: Pairs) -> None:
        """Take note of a call whose headers arrived just now; it must not raise."""
        del method, headers  # most layers do not care

    @abstractmethod
    def around(self, method: str, handler: Handler) -> Handler:
        """Return ``handler`` with this layer around it; called once per method."""


class ServiceGuard(Layer):
    """Puts a guard before every method of some services; other services pass."""

    services: ClassVar[tuple[str, ...]]  # "/package.Service/"

    def begin(self, method: str, headers: Pairs) -> None:
        """Look at the headers of a guarded call."""
        if method.startswith(self.services):
            self.arrive(headers)

    def around(self, method: str, handler: Handler) -> Handler:
        """Guard the handler of one method."""
        if not method.startswith(self.services):
            return handler
        return guarded(handler, self.guard_of(method))

    def arrive(self, headers: Pairs) -> None:
        """Take note of the headers of a guarded call, which may be long before its request."""
        del headers  # most guards do not care

    @abstractmethod
    def guard_of(self, method: str) -> Guard:
        """Return the guard of every call of one method."""


class Layers(grpc.aio.ServerInterceptor):
    """The layers of one server, outermost first; the only interceptor gRPC knows of."""

    def __init__(self, layers: tuple[Layer, ...]) -> None:
        self._layers = layers
        self._made: dict[str, Handler] = {}  # as many as the server has methods

    async def intercept_service(
        self,
        continuation: Continuation,
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Return the handler of one call, within all layers."""
        method = handler_call_details.method
        made = self._made.get(method)
        if made is None:
            handler = await continuation(handler_call_details)
            if handler is None:
                logger.debug("Call to an unknown method", extra={"event": "call", "method": method})
                return None
            made = self._made[method] = self._make(method, handler)
        headers = tuple(handler_call_details.invocation_metadata or ())
        _headers.set(headers)
        for layer in self._layers:
            layer.begin(method, headers)
        return made

    def _make(self, method: str, handler: Handler) -> Handler:
        for layer in reversed(self._layers):
            handler = layer.around(method, handler)
        return handler


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
            first = await _first_of(raw) if handler.request_streaming else raw
            request = _decoded(decode, first)
            await guard(request, rpc, first)
            taken = Opened(request, raw) if handler.request_streaming else request
            async with aclosing(call(taken, rpc)) as responses:
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
        TypeError: it takes a stream of requests and gives one response, which no API of ours does.
    """
    decoder = decode or handler.request_deserializer
    if handler.request_streaming:
        if handler.stream_stream is None:
            raise TypeError("no guard knows how to check a stream that has one response")
        return grpc.stream_stream_rpc_method_handler(
            stream(_as_iterator(handler.stream_stream)),
            decoder,
            handler.response_serializer,
        )
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


def headers_of(rpc: Rpc) -> Pairs:
    """Return the call's request headers as pairs."""
    known = _headers.get()  # gRPC makes them anew each time it is asked
    return tuple(rpc.invocation_metadata() or ()) if known is None else known


def header(rpc: Rpc, key: str) -> str | None:
    """Return the text of a request header; None when it is missing, empty or repeated."""
    return find_text(headers_of(rpc), key)


async def _first_of(requests: AsyncIterator[bytes]) -> bytes:
    try:
        return await anext(requests)
    except StopAsyncIteration as cause:
        raise MalformedRequestError from cause


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
