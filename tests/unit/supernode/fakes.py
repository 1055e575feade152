"""A SuperLink in memory that speaks ``FleetCalls``, with switches for all that may go wrong."""

import asyncio
import hashlib
from collections import Counter, defaultdict
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta

from flwr.core.errors import FlwrError, UnavailableError, UnimplementedError
from flwr.core.ids import FabHash, MessageId, NodeId, ObjectId, RunId
from flwr.core.message import Delivery, Envelope
from flwr.core.run import Run
from flwr.wire.clients.fleet import FetchedFab, Pulled, PulledObject
from flwr.wire.codec.pieces import Absence, Piece, Wanted, decode_piece
from flwr.wire.transport import PeerNotRunningError


class FakeFleet:
    """What the node may see of a SuperLink; every call is counted by name."""

    def __init__(self) -> None:
        self.node_id = NodeId(77)
        self.calls: Counter[str] = Counter()
        self.waiting: list[Delivery] = []
        self.objects: dict[ObjectId, bytes | None] = {}
        self.runs: dict[RunId, Run] = {}
        self.fabs: dict[FabHash, FetchedFab] = {}
        self.ended: list[RunId] = []
        self.tells_ended = True
        self.encloses = False  # as upstream's
        self.has_streams = False  # as upstream's
        self.piece_bytes = 1000
        self.asked: list[list[Wanted]] = []  # of it in pieces
        self.pushed_twice: list[ObjectId] = []
        self.keeps_received = True
        self.breaks_after: int | None = None  # pieces, once
        self.at_once = 1  # instructions in one answer
        self.stopped: set[RunId] = set()
        self.confirmed: list[MessageId] = []
        self.secure: Callable[[], Awaitable[None]] | None = None  # before anything is confirmed
        self.replies: dict[MessageId, Envelope] = {}
        self.runtimes: list[float] = []
        self.remembered: list[bool] = []
        self.received: dict[ObjectId, bytes] = {}
        self.failures: dict[str, list[FlwrError]] = {}  # raised by the next calls of that name
        self.damaged: dict[ObjectId, int] = {}  # how often wrong bytes are answered
        self.late: dict[ObjectId, int] = {}  # how often an object is not available yet
        self.hooks: dict[str, Callable[[], Awaitable[None]]] = {}
        self.changed = asyncio.Condition()
        self.offered = asyncio.Event()

    async def _called(self, name: str, run_id: RunId | None = None) -> None:
        async with self.changed:
            self.calls[name] += 1
            self.changed.notify_all()
        if name in self.hooks:
            await self.hooks[name]()
        if self.failures.get(name):
            raise self.failures[name].pop(0)
        if run_id in self.stopped:
            raise PeerNotRunningError("Run is finished. Stopped by user.")

    async def until(self, holds: Callable[[], bool]) -> None:
        """Wait until something observable became true after a call."""
        async with self.changed, asyncio.timeout(60):
            await self.changed.wait_for(holds)

    async def _note(self) -> None:
        async with self.changed:
            self.changed.notify_all()

    def offer(self, delivery: Delivery, contents: Mapping[ObjectId, bytes]) -> None:
        self.objects.update(contents)
        self.waiting.append(delivery)
        self.offered.set()

    async def register(self) -> NodeId:
        await self._called("register")
        return self.node_id

    async def activate(self, interval: timedelta, *, remembers: bool) -> NodeId:
        await self._called("activate")
        self.remembered.append(remembers)
        return self.node_id

    async def heartbeat(self, interval: timedelta) -> bool:
        await self._called("heartbeat")
        return True

    async def deactivate(self) -> None:
        await self._called("deactivate")

    async def unregister(self) -> None:
        await self._called("unregister")

    async def pull_messages(
        self, active_runs: Sequence[RunId] = (), received: Sequence[MessageId] = ()
    ) -> Pulled:
        if received and self.secure is not None:
            await self.secure()
        self.confirmed += received
        await self._called("pull_messages")
        if not self.waiting and not self.ended:
            self.offered.clear()
            with suppress(TimeoutError):
                await asyncio.wait_for(self.offered.wait(), 0.6)  # a short hold
        taken, self.waiting = self.waiting[: self.at_once], self.waiting[self.at_once :]
        ended, self.ended = self.ended, []
        if self.encloses:
            taken = [replace(one, contents=self._contents(one)) for one in taken]
        return Pulled(tuple(taken), tuple(ended) if self.tells_ended else None)

    def _contents(self, delivery: Delivery) -> dict[ObjectId, bytes]:
        parts = {i: self.objects.get(i) for i in delivery.tree.walk()}
        return {i: content for i, content in parts.items() if content is not None}

    async def push_reply(self, reply: Delivery, runtime_s: float) -> Sequence[ObjectId]:
        envelope = reply.envelope
        await self._called("push_reply", envelope.run_id)
        assert envelope.reply_to is not None
        self.replies.setdefault(envelope.reply_to, envelope)
        self.runtimes.append(runtime_s)
        if self.encloses:
            self.received.update(reply.contents)
        return [object_id for object_id in reply.tree.walk() if object_id not in self.received]

    async def push_object(self, run_id: RunId, object_id: ObjectId, content: bytes) -> bool:
        await self._called("push_object", run_id)
        assert hashlib.sha256(content).hexdigest() == object_id
        self.received[object_id] = content
        await self._note()
        return True

    async def pull_object(self, run_id: RunId, object_id: ObjectId) -> PulledObject:
        await self._called("pull_object", run_id)
        if object_id not in self.objects:
            return PulledObject(is_known=False, content=None)
        if self.late.get(object_id):
            self.late[object_id] -= 1
            return PulledObject(is_known=True, content=None)
        if self.damaged.get(object_id):
            self.damaged[object_id] -= 1
            return PulledObject(is_known=True, content=b"damaged")
        return PulledObject(is_known=True, content=self.objects[object_id])

    async def pull_pieces(
        self, run_id: RunId, wanted: Sequence[Wanted]
    ) -> AsyncGenerator[Piece, None]:
        """Hand out objects in pieces, if this SuperLink has streams."""
        await self._called("pull_pieces", run_id)
        if not self.has_streams:
            raise UnimplementedError("no streams")
        self.asked.append(list(wanted))
        for index, one in enumerate(wanted):
            for piece in self._pieces_of(index, one):
                if self.breaks_after is not None:
                    self.breaks_after -= 1
                    if self.breaks_after < 0:
                        self.breaks_after = None
                        raise unreachable()
                yield piece

    def _pieces_of(self, index: int, one: Wanted) -> Iterator[Piece]:
        content = self.objects.get(one.object_id)
        if content is None:
            yield Piece(index, absence=Absence.UNKNOWN)
            return
        if self.late.get(one.object_id):
            self.late[one.object_id] -= 1
            yield Piece(index, absence=Absence.AWAITED)
            return
        if self.damaged.get(one.object_id):
            self.damaged[one.object_id] -= 1
            content = bytes(len(content))
        for start in range(one.offset, len(content), self.piece_bytes):
            data = memoryview(content)[start : start + self.piece_bytes]
            yield Piece(index, len(content), start, data)

    async def push_pieces(
        self, run_id: RunId, ids: Sequence[ObjectId], pieces: AsyncGenerator[bytes, None]
    ) -> AsyncGenerator[tuple[ObjectId, bool], None]:
        """Take objects in pieces, if this SuperLink has streams."""
        await self._called("push_pieces", run_id)
        if not self.has_streams:
            await pieces.aclose()
            raise UnimplementedError("no streams")
        coming: defaultdict[ObjectId, bytearray] = defaultdict(bytearray)
        self.pushed_twice += [object_id for object_id in ids if object_id in self.received]
        async for raw in pieces:
            piece = decode_piece(raw)
            object_id = ids[piece.index]
            if self.keeps_received:
                coming[object_id] += piece.data
            if piece.offset + len(piece.data) == piece.size:
                self.received[object_id] = bytes(coming.pop(object_id, b""))
                await self._note()
                yield object_id, True
                if self.breaks_after is not None:
                    self.breaks_after = None
                    raise unreachable()

    async def confirm(self, run_id: RunId, message_id: MessageId) -> None:
        await self._called("confirm", run_id)
        self.confirmed.append(message_id)
        await self._note()

    async def get_run(self, run_id: RunId) -> Run:
        await self._called("get_run", run_id)
        return self.runs[run_id]

    async def get_fab(self, run_id: RunId, fab_hash: FabHash) -> FetchedFab:
        await self._called("get_fab", run_id)
        return self.fabs[fab_hash]

    async def push_logs(self, run_id: RunId, logs: Sequence[str]) -> None:
        await self._called("push_logs", run_id)


def unreachable() -> UnavailableError:
    return UnavailableError("connection refused")
