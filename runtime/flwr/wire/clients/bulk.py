"""A node's large objects to and from its SuperLink: streams, signed at their opening.

A SuperLink that does not know them answers UNIMPLEMENTED, and gets the calls of the contract.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Final, Protocol

import grpc

from flwr.core.errors import ErrorKind, FlwrError, UnavailableError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.wire.bulk import NODE_BULK
from flwr.wire.clients.deadlines import OBJECT_S
from flwr.wire.codec.pieces import (
    Piece,
    Wanted,
    decode_piece,
    decode_taken,
    encode_opening,
    encode_pull,
)
from flwr.wire.errors import from_rpc_error

_PULL: Final = f"{NODE_BULK}Pull"
_PUSH: Final = f"{NODE_BULK}Push"

_BROKEN: Final = "Internal error from Core"  # all that grpc.aio tells of a write that failed

Headers = tuple[tuple[str, str | bytes], ...]
Sign = Callable[[str, bytes], Headers]
"""Returns the headers of a call, from its method and its first message."""


class MessageStream(Protocol):
    """An open call whose answers are read one by one."""

    def read(self) -> Awaitable[object]:
        """Return the next answer."""
        ...

    def cancel(self) -> bool:
        """End it, if it has not ended."""
        ...


class BulkClient:
    """Streams of one node.

    Args:
        channel: stays the caller's to close.
        sign: proves who calls.
    """

    def __init__(self, channel: grpc.aio.Channel, sign: Sign) -> None:
        self._channel, self._sign = channel, sign

    async def pull(
        self, node_id: NodeId, run_id: RunId, wanted: Sequence[Wanted]
    ) -> AsyncGenerator[Piece, None]:
        """Yield the pieces of objects, in order; what cannot be had has one that says why.

        Raises:
            UnimplementedError: the server has no streams.
            FlwrError: whatever else it reports.
        """
        request = encode_pull(node_id, run_id, wanted).SerializeToString()
        start: grpc.aio.UnaryStreamMultiCallable[bytes, bytes] = self._channel.unary_stream(_PULL)
        call = start(request, metadata=self._sign(_PULL, request))
        try:
            while (raw := await next_message(call)) is not None:
                yield decode_piece(raw)
        except grpc.RpcError as cause:
            raise failure_of_stream(cause, _PULL) from cause
        finally:
            call.cancel()

    async def push(
        self,
        node_id: NodeId,
        run_id: RunId,
        ids: Sequence[ObjectId],
        pieces: AsyncGenerator[bytes, None],
    ) -> AsyncGenerator[tuple[ObjectId, bool], None]:
        """Send objects; yield each as it was stored (True) or refused.

        A call that is refused while it is written may lose the reason on the way (gRPC says
        INTERNAL); so the server is asked first, by a call without that flaw, whether it would
        serve us.

        Args:
            node_id: ours.
            run_id: theirs.
            ids: the objects.
            pieces: of these, as ``wire.bulk.pieces_of`` makes them.

        Raises:
            UnimplementedError: the server has no streams.
            FlwrError: whatever else it reports, or ``pieces`` raised.
        """
        async with aclosing(self.pull(node_id, run_id, ())) as nothing:
            async for _ in nothing:
                pass
        opening = encode_opening(node_id, run_id, ids)
        sending = _Sending(opening, pieces)
        start: grpc.aio.StreamStreamMultiCallable[bytes, bytes] = self._channel.stream_stream(_PUSH)
        call = start(sending.messages(), metadata=self._sign(_PUSH, opening))
        try:
            while (raw := await next_message(call)) is not None:
                index, stored = decode_taken(raw)
                yield ids[index], stored
        except grpc.RpcError as cause:
            raise failure_of_stream(cause, _PUSH) from cause
        finally:
            call.cancel()
        if sending.failure is not None:
            raise sending.failure


class _Sending:
    """What is sent; gRPC would swallow why it ended early."""

    def __init__(self, opening: bytes, pieces: AsyncGenerator[bytes, None]) -> None:
        self._opening, self._pieces = opening, pieces
        self.failure: Exception | None = None

    async def messages(self) -> AsyncGenerator[bytes, None]:
        yield self._opening
        try:
            async with aclosing(self._pieces) as pieces:
                async for piece in pieces:
                    yield piece
        except Exception as failure:  # noqa: BLE001 - raised again by whoever reads the answers
            self.failure = failure


def failure_of_stream(cause: grpc.RpcError, method: str) -> FlwrError:
    """Return what a failed stream means; one that broke while it was written is unavailable."""
    failure = from_rpc_error(cause, method=method)
    if failure.kind is ErrorKind.INTERNAL and failure.message == _BROKEN:
        return UnavailableError("the stream broke")
    return failure


async def next_message(call: MessageStream) -> bytes | None:
    """Return the next message of a stream, None at its end.

    Raises:
        UnavailableError: none came for too long.
        grpc.RpcError: the call failed.
    """
    try:
        async with asyncio.timeout(OBJECT_S):
            message = await call.read()
    except TimeoutError as cause:
        raise UnavailableError("nothing more came of an object") from cause
    return message if isinstance(message, bytes) else None
