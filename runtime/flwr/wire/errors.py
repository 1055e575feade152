"""Errors across gRPC: ``FlwrError`` -> status and trailers on one side, back on the other."""

from typing import Any, Final, NoReturn

import grpc

from flwr.core.errors import FlwrError
from flwr.wire import metadata
from flwr.wire.status import clip, code_of, error_of

_BY_NUMBER: Final = {code.value[0]: code for code in grpc.StatusCode}


async def abort_with(
    rpc: grpc.aio.ServicerContext[Any, Any], error: FlwrError, *, method: str
) -> NoReturn:
    """End the call with ``error``; raises what gRPC raises for an aborted call."""
    await rpc.abort(
        _BY_NUMBER[code_of(error.kind, method)],
        clip(error.message),
        (
            (metadata.KIND, str(error.kind)),
            (metadata.HINT, clip(error.hint).encode("utf-8")),
        ),
    )


def from_rpc_error(error: grpc.RpcError, *, method: str) -> FlwrError:
    """Return the failure of a call as our own error.

    Args:
        error: what a stub raised.
        method: full path of the call; some codes mean different things on different services.
    """
    if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
        return FlwrError(f"call failed without a status: {error}")
    number: int = error.code().value[0]
    trailers = dict(error.trailing_metadata() or ())
    return error_of(
        number,
        error.details() or "",
        method=method,
        kind=_text(trailers.get(metadata.KIND)),
        hint=_text(trailers.get(metadata.HINT)),
    )


def is_unanswered(error: grpc.RpcError) -> bool:
    """Tell whether a call failed without any peer of ours: it is unavailable and did not say so."""
    if not isinstance(error, (grpc.Call, grpc.aio.AioRpcError)):
        return False
    said = dict(error.trailing_metadata() or ())
    return error.code() is grpc.StatusCode.UNAVAILABLE and metadata.KIND not in said


def _text(value: str | bytes | None) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value or ""
