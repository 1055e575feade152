"""Turning what a servicer raises into a status; the only place that does.

An expected failure becomes its status with our trailers.  Anything else is a bug of ours: INTERNAL
for the caller, and the traceback in the log, once.
"""

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from flwr.core.errors import FlwrError
from flwr.wire.errors import abort_with
from flwr.wire.interceptors.access_log import add_fact
from flwr.wire.interceptors.guarding import (
    Handler,
    Layer,
    Request,
    Rpc,
    StreamCall,
    UnaryCall,
    rewritten,
)
from flwr.wire.status import code_of

logger = logging.getLogger(__name__)


class InternalFailureError(FlwrError):
    """What the caller learns of a bug: that it is ours."""

    def __init__(self) -> None:
        """Tell where to look."""
        super().__init__(
            "the server failed on this call",
            hint="the server's log has the cause; please report it",
        )


class ErrorMapping(Layer):
    """Sits directly inside the access log, outside every proof."""

    def around(self, method: str, handler: Handler) -> Handler:
        """Map what the handler of one method raises."""

        def unary(call: UnaryCall) -> UnaryCall:
            async def mapped(request: Request, rpc: Rpc) -> Any:
                try:
                    return await call(request, rpc)
                except Exception as error:  # noqa: BLE001 - the edge: every error ends here
                    await _end(rpc, error, method)

            return mapped

        def stream(call: StreamCall) -> StreamCall:
            async def mapped(request: Request, rpc: Rpc) -> AsyncGenerator[Any, None]:
                try:
                    async with aclosing(call(request, rpc)) as responses:
                        async for response in responses:
                            yield response
                except Exception as error:  # noqa: BLE001 - the edge: every error ends here
                    await _end(rpc, error, method)

            return mapped

        return rewritten(handler, unary, stream)


async def _end(rpc: Rpc, error: Exception, method: str) -> NoReturn:
    if isinstance(error, grpc.aio.AbortError):
        raise error
    if not isinstance(error, FlwrError):
        logger.error(
            "Call failed by a bug", extra={"event": "bug", "method": method}, exc_info=error
        )
        error = InternalFailureError()
    add_fact("status", code_of(error.kind, method).name)
    add_fact("cause", error.message)
    await abort_with(rpc, error, method=method)
