"""The Bulk services: objects out and in, in pieces; the same on every port that moves objects.

What a caller may take and bring is judged by the ``Door`` its proof opens.
"""

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, closing
from functools import partial
from typing import Any

import grpc

from flwr.core.errors import InvalidError
from flwr.core.ids import NodeId, ObjectId, RunId
from flwr.core.settling import Settling
from flwr.proto.compose.v1 import bulk_pb2
from flwr.wire.bulk import Cutter, Door, take_in
from flwr.wire.clients.deadlines import OBJECT_S
from flwr.wire.codec.pieces import (
    Absence,
    decode_wanted,
    encode_absence,
    encode_invitation,
)
from flwr.wire.hatch_server import Hatch
from flwr.wire.interceptors.guarding import Opened, Rpc
from flwr.wire.receiver import InThread

FindDoor = Callable[[NodeId, RunId], Door[Any]]
"""Returns the door for the node and run a request names, in the task of the call.

Raises whatever tells that the caller may not speak for them.
"""


class BulkServicer:
    """Serves one port.

    Args:
        service: ``NODE_BULK`` or ``APP_BULK``.
        find_door: judges who calls.
        run: runs operations in threads.
        settling: see ``take_in``; None: every answer is given at once.
        hatch: a way for apps on this machine, if there is one.
    """

    def __init__(
        self,
        service: str,
        find_door: FindDoor,
        run: InThread,
        *,
        settling: Settling | None = None,
        hatch: Hatch | None = None,
    ) -> None:
        self._service, self._find_door, self._run = service, find_door, run
        self._settling, self._hatch = settling, hatch

    async def pull(self, request: bulk_pb2.PullRequest, _rpc: Rpc) -> AsyncGenerator[bytes, None]:
        """Hand out objects in the order asked."""
        door = self._find_door(NodeId(request.node.node_id), RunId(request.run_id))
        await self._run(door.admit)
        cutter = Cutter(self._run)
        for index, wanted in enumerate(decode_wanted(request)):
            opened = await door.open(wanted)
            if isinstance(opened, Absence):
                yield encode_absence(index, opened)
                continue
            with closing(opened):
                async for piece in cutter.pieces(index, opened, wanted.offset):
                    yield piece

    async def push(self, opened: Opened, _rpc: Rpc) -> AsyncGenerator[bytes, None]:
        """Take objects; each is answered once it is durable."""
        opening: bulk_pb2.Piece = opened.request
        door = self._find_door(NodeId(opening.node.node_id), RunId(opening.run_id))
        await self._run(door.admit)
        ids = [ObjectId(text) for text in opening.object_ids]
        taken = take_in(door, ids, partial(_next, opened), self._run, self._settling)
        async with aclosing(taken) as answers:
            async for answer in answers:
                yield answer

    async def open_hatch(
        self, request: bulk_pb2.HatchRequest, _rpc: Rpc
    ) -> AsyncGenerator[bytes, None]:
        """Let the caller make one Pull or Push past gRPC, on this machine."""
        door = self._find_door(NodeId(request.node.node_id), RunId(request.run_id))
        await self._run(door.admit)
        assert self._hatch is not None, "served only with one"
        yield encode_invitation(self._hatch.invite(door))

    def register(self, server: grpc.aio.Server) -> None:
        """Serve on ``server``; bytes stay as they are, the guards decode what is proven."""
        handlers: dict[str, Any] = {
            "Pull": grpc.unary_stream_rpc_method_handler(
                self.pull, request_deserializer=bulk_pb2.PullRequest.FromString
            ),
            "Push": grpc.stream_stream_rpc_method_handler(
                self.push, request_deserializer=bulk_pb2.Piece.FromString
            ),
        }
        if self._hatch is not None:
            handlers["OpenHatch"] = grpc.unary_stream_rpc_method_handler(
                self.open_hatch, request_deserializer=bulk_pb2.HatchRequest.FromString
            )
        generic = grpc.method_handlers_generic_handler(self._service.strip("/"), handlers)
        server.add_generic_rpc_handlers((generic,))


async def _next(opened: Opened) -> bytes | None:
    try:
        async with asyncio.timeout(OBJECT_S):
            return await anext(opened.rest)
    except StopAsyncIteration:
        return None
    except TimeoutError as cause:
        raise InvalidError("nothing more came of a pushed object") from cause
