"""Large objects in pieces, whoever sends and whoever takes them in.

What is complete is kept, in batches, and made durable before its sender is told.  At most one piece
of each object is in memory.  The disk is waited for in threads, which the caller provides.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Sequence
from contextlib import closing
from datetime import timedelta
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import MAX_TREE_OBJECTS, PIECE_BYTES, STORED_AT_ONCE_BYTES
from flwr.wire.codec.pieces import (
    Absence,
    Piece,
    Wanted,
    decode_piece,
    encode_piece,
    encode_taken,
)

P = ParamSpec("P")
T = TypeVar("T")

NODE_BULK: Final = "/flwr.compose.v1.NodeBulk/"

_WRONG: Final = frozenset({ErrorKind.INVALID, ErrorKind.FAILED_PRECONDITION})


class InThread(Protocol):
    """Runs one short synchronous operation off the event loop."""

    def __call__(
        self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Return what ``op`` returns."""
        ...


class Readable(Protocol):
    """Content that is handed out."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def descriptor(self) -> int | None:
        """Of a file that holds nothing else and never changes; None: there is none."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Arriving(Protocol):
    """An object while its pieces arrive."""

    @property
    def size(self) -> int:
        """In bytes, when it is complete."""
        ...

    @property
    def received(self) -> int:
        """Bytes that have arrived."""
        ...

    def write(self, piece: bytes | memoryview) -> None:
        """Append a piece."""
        ...

    def abandon(self) -> None:
        """Drop it, unless it is finished."""
        ...


A = TypeVar("A", bound=Arriving)


class Keeper(Protocol[A]):
    """Where objects go that arrive; its methods are synchronous operations."""

    def begin(self, object_id: ObjectId, size: int) -> A | None:
        """Begin an object; None if it is not wanted here."""
        ...

    def complete(self, arriving: A) -> None:
        """Check a complete object and finish it.

        Raises:
            InvalidError: it has another id.
            MalformedObjectError: it is no object.
        """
        ...

    def keep(self, complete: Sequence[A]) -> list[bool]:
        """Store complete objects in one transaction; False for one that is no longer wanted."""
        ...


class Door(Keeper[A], Protocol[A]):
    """What one caller may take and bring."""

    def admit(self) -> None:
        """Check that the caller may come in at all; a synchronous operation.

        Raises:
            RunNotRunningError: its run has ended.
        """
        ...

    async def open(self, wanted: Wanted) -> Readable | Absence:
        """Open an object, waiting a while for one that is on its way."""
        ...

    def settle(self, kept: Sequence[A]) -> None:
        """Make what was kept durable, unless it has gone again; a synchronous operation."""
        ...


ReadPiece = Callable[[], Awaitable[bytes | memoryview | None]]

OpenObject = Callable[[ObjectId], Readable | None]
"""Opens one of our objects; None if it is not here any more."""


async def pieces_of(
    ids: Sequence[ObjectId], open_object: OpenObject, run: InThread
) -> AsyncGenerator[bytes, None]:
    """Yield objects in pieces, as they are sent; one that is not here any more is left out."""
    for index, object_id in enumerate(ids):
        opened = await run(open_object, object_id)
        if opened is None:
            continue
        with closing(opened):
            for offset in range(0, opened.size, PIECE_BYTES):
                data = await run(opened.read, offset, PIECE_BYTES)
                yield encode_piece(index, opened.size, offset, data)


class Receiver(Generic[A]):
    """Puts the pieces of some objects together and gives what is complete to a keeper.

    Args:
        keeper: decides what is wanted, and keeps it.
        run: runs its operations.
    """

    def __init__(self, keeper: Keeper[A], run: InThread) -> None:
        self._keeper, self._run = keeper, run
        self._open: dict[ObjectId, A] = {}
        self._refused: set[ObjectId] = set()
        self._finishing: list[tuple[ObjectId, A, asyncio.Task[None]]] = []
        self._finishing_bytes = 0
        self._settled: list[tuple[ObjectId, bool]] = []
        self._kept: list[A] = []

    def received(self, object_id: ObjectId) -> int:
        """Return how many bytes of an incomplete object are here."""
        arriving = self._open.get(object_id)
        return 0 if arriving is None else arriving.received

    def settled(self) -> list[tuple[ObjectId, bool]]:
        """Return, once each, what was stored (True) and what was refused (False)."""
        settled, self._settled = self._settled, []
        return settled

    def kept(self) -> list[A]:
        """Return, once each, what was given to the keeper."""
        kept, self._kept = self._kept, []
        return kept

    async def take(self, object_id: ObjectId, piece: Piece) -> None:
        """Take one piece.

        Raises:
            InvalidError: it does not follow the one before.
            UnavailableError: the disk is full, or the store does not answer.
        """
        arriving = await self._find(object_id, piece.size)
        if arriving is None:
            return
        if piece.size != arriving.size or piece.offset != arriving.received:
            raise InvalidError(f"a piece of object {object_id} is not the next one")
        await self._run(arriving.write, piece.data)
        if arriving.received < arriving.size:
            return
        del self._open[object_id]
        finishing = asyncio.create_task(self._run(self._keeper.complete, arriving))
        self._finishing.append((object_id, arriving, finishing))
        self._finishing_bytes += arriving.size
        if self._finishing_bytes >= STORED_AT_ONCE_BYTES:
            await self.flush()

    async def flush(self) -> None:
        """Store what is complete.

        Raises:
            UnavailableError: the disk is full, or the store does not answer.
        """
        finishing, self._finishing, self._finishing_bytes = self._finishing, [], 0
        await asyncio.gather(*(task for _, _, task in finishing), return_exceptions=True)
        complete: dict[ObjectId, A] = {}
        for object_id, arriving, task in finishing:
            error = task.exception()
            if error is None:
                complete[object_id] = arriving
            elif isinstance(error, FlwrError) and error.kind in _WRONG:
                self._settled.append((object_id, False))
            else:
                raise error
        if complete:
            stored = await self._run(self._keeper.keep, list(complete.values()))
            self._settled += zip(complete, stored, strict=True)
            self._kept += complete.values()

    async def close(self) -> None:
        """Keep what is complete, drop the rest."""
        try:
            await self.flush()
        finally:
            for arriving in self._open.values():
                arriving.abandon()
            self._open.clear()

    async def _find(self, object_id: ObjectId, size: int) -> A | None:
        arriving = self._open.get(object_id)
        if arriving is not None or object_id in self._refused:
            return arriving
        begun = await self._run(self._keeper.begin, object_id, size)
        if begun is None:
            self._refused.add(object_id)
            self._settled.append((object_id, False))
            return None
        self._open[object_id] = begun
        return begun


async def take_in(
    door: Door[Any],
    ids: Sequence[ObjectId],
    read: ReadPiece,
    run: InThread,
    settle_after: timedelta | None,
) -> AsyncGenerator[bytes, None]:
    """Take objects in pieces; yield the answer for each once it is durable.

    Args:
        door: of who brings them.
        ids: the objects, as the opening names them.
        read: returns the next piece as it came, None at the end; it is used up before the next.
        run: runs operations.
        settle_after: how long an answer may be put off, for the disk need not be waited for if
            the object is gone by then; None: who brings objects loses power when we do.

    Raises:
        InvalidError: a piece is not one of these objects, or not the next one.
    """
    if len(ids) > MAX_TREE_OBJECTS:
        raise InvalidError(f"{len(ids)} objects in one call")
    place = {object_id: index for index, object_id in enumerate(ids)}
    receiver = Receiver(door, run)
    promises = _Promises(door, run, settle_after)
    try:
        while (raw := await read()) is not None:
            piece = decode_piece(raw)
            if piece.index >= len(ids):
                raise InvalidError("a piece of an object that the opening does not name")
            await receiver.take(ids[piece.index], piece)
            for key, stored in await promises.due(receiver):
                yield encode_taken(place[key], stored=stored)
    finally:
        await receiver.close()
    for key, stored in await promises.rest(receiver):
        yield encode_taken(place[key], stored=stored)


class _Promises:
    """Answers that wait until what they promise is durable."""

    def __init__(self, door: Door[Any], run: InThread, after: timedelta | None) -> None:
        self._door, self._run, self._after = door, run, after
        self._answers: list[tuple[ObjectId, bool]] = []
        self._kept: list[Any] = []
        self._due_at = 0.0  # by the loop's clock

    async def due(self, receiver: Receiver[Any]) -> list[tuple[ObjectId, bool]]:
        """Return the answers that can be given now."""
        settled, now = receiver.settled(), asyncio.get_running_loop().time()
        if settled and not self._answers:
            self._due_at = now + (self._after or timedelta()).total_seconds()
        self._answers += settled
        self._kept += receiver.kept()
        return await self._settle() if self._answers and now >= self._due_at else []

    async def rest(self, receiver: Receiver[Any]) -> list[tuple[ObjectId, bool]]:
        """Return all answers, when they are due."""
        if answers := await self.due(receiver):
            return answers
        if self._answers:
            await asyncio.sleep(self._due_at - asyncio.get_running_loop().time())
        return await self._settle()

    async def _settle(self) -> list[tuple[ObjectId, bool]]:
        answers, self._answers = self._answers, []
        kept, self._kept = self._kept, []
        if kept and self._after is not None:
            await self._run(self._door.settle, kept)
        return answers
