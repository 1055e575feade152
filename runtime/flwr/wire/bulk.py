"""Large objects in pieces, whoever sends and whoever takes them in.

What is complete is kept, in batches, and made durable before its sender is told.  A few pieces of
each stream are in memory.  The disk is waited for in threads, which the caller provides.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import closing, suppress
from functools import cached_property
from typing import Any, Final, Protocol

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import MAX_TREE_OBJECTS, PIECE_BYTES
from flwr.core.settling import Settling
from flwr.wire.codec.pieces import (
    Absence,
    Piece,
    Wanted,
    decode_piece,
    encode_piece,
    encode_taken,
)
from flwr.wire.receiver import A, Arriving, InThread, Keeper, Outcome, Receiver

NODE_BULK: Final = "/flwr.compose.v1.NodeBulk/"


class Readable(Protocol):
    """Content that is handed out."""

    @property
    def size(self) -> int:
        """In bytes."""
        ...

    @property
    def descriptor(self) -> int | None:
        """Of a file that holds the content and never changes; None: there is none."""
        ...

    @property
    def lead(self) -> int:
        """Where in that file the content begins; it ends with it."""
        ...

    def read(self, offset: int, size: int) -> bytes:
        """Return up to ``size`` bytes from ``offset`` on."""
        ...

    def read_now(self, target: memoryview, offset: int) -> int:
        """Fill ``target`` with what memory has from ``offset`` on; 0: the disk has to be asked."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Deposited(Arriving, Protocol):
    """An object that came without its id."""

    @property
    def object_id(self) -> ObjectId:
        """Its id, when it is complete."""
        ...

    def open(self) -> Readable | None:
        """Open it when it is complete; None if it is not here any more."""
        ...

    def discard(self) -> None:
        """Drop it when it is complete and was not kept."""
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

    def begin_deposit(self, size: int) -> A:
        """Begin an object that nobody has asked for yet; for apps on this machine."""
        ...

    def settle(self, kept: Sequence[A]) -> None:
        """Make what was kept durable, unless it has gone again; a synchronous operation."""
        ...

    async def until_gone(self, kept: Sequence[A]) -> None:
        """Wait until somebody else has all of what was kept, so that it is not here any more."""
        ...


ReadPiece = Callable[[], Awaitable[bytes | memoryview | None]]

OpenObject = Callable[[ObjectId], Readable | None]
"""Opens one of our objects; None if it is not here any more."""


async def pieces_of(
    ids: Sequence[ObjectId], open_object: OpenObject, run: InThread
) -> AsyncGenerator[bytes, None]:
    """Yield objects in pieces, as they are sent; one that is not here any more is left out."""
    cutter = Cutter(run)
    for index, object_id in enumerate(ids):
        opened = await run(open_object, object_id)
        if opened is not None:
            with closing(opened):
                async for piece in cutter.pieces(index, opened):
                    yield piece


class Cutter:
    """Makes pieces of objects that are handed out; what memory has needs no thread."""

    def __init__(self, run: InThread) -> None:
        self._run = run

    @cached_property
    def _buffer(self) -> memoryview:
        """Made when it is needed: most objects of apps are handed over."""
        return memoryview(bytearray(PIECE_BYTES))

    async def pieces(
        self, index: int, opened: Readable, offset: int = 0
    ) -> AsyncGenerator[bytes, None]:
        """Yield an object from ``offset`` on."""
        while offset < opened.size:
            data = self._buffer[: min(PIECE_BYTES, opened.size - offset)]
            if filled := opened.read_now(data, offset):
                data = data[:filled]
            else:
                data = memoryview(await self._run(opened.read, offset, len(data)))
            yield encode_piece(index, opened.size, offset, data)
            offset += len(data)


async def take_in(
    door: Door[Any],
    ids: Sequence[ObjectId],
    read: ReadPiece,
    run: InThread,
    settling: Settling | None = None,
) -> AsyncGenerator[bytes, None]:
    """Take objects in pieces; yield the answer for each once it is durable.

    Args:
        door: of who brings them.
        ids: the objects, as the opening names them.
        read: returns the next piece as it came, None at the end.
        run: runs operations.
        settling: how long an answer may be put off, for the disk need not be waited for if
            the object is gone by then.  None: not at all.

    Raises:
        InvalidError: a piece is not one of these objects, or not the next one.
    """
    if len(ids) > MAX_TREE_OBJECTS:
        raise InvalidError(f"{len(ids)} objects in one call")
    place = {object_id: index for index, object_id in enumerate(ids)}
    receiver = Receiver(door, run)
    promises = _Promises(door, run, settling)
    try:
        while (raw := await read()) is not None:
            await receiver.take(*named(ids, raw))
            for answer in await promises.due(receiver):
                yield encode_taken(place[answer.object_id], stored=answer.is_stored)
    finally:
        await receiver.close()
    for answer in await promises.rest(receiver):
        yield encode_taken(place[answer.object_id], stored=answer.is_stored)


def named(ids: Sequence[ObjectId], raw: bytes | memoryview) -> tuple[ObjectId, Piece]:
    """Return a piece as it came, and which of the objects it is of.

    Raises:
        InvalidError: it is no piece of one of these.
    """
    piece = decode_piece(raw)
    if piece.index >= len(ids):
        raise InvalidError("a piece of an object that the opening does not name")
    return ids[piece.index], piece


class _Promises:
    """Answers that wait until what they promise is durable."""

    def __init__(self, door: Door[Any], run: InThread, settling: Settling | None) -> None:
        self._door, self._run, self._settling = door, run, settling
        self._answers: list[Outcome[Any]] = []
        self._due_at = 0.0  # by the loop's clock

    async def due(self, receiver: Receiver[Any]) -> list[Outcome[Any]]:
        """Return the answers that can be given while more comes."""
        outcomes, now = receiver.outcomes(), asyncio.get_running_loop().time()
        if outcomes and not self._answers and self._settling is not None:
            self._due_at = now + self._settling.while_more_comes.total_seconds()
        self._answers += outcomes
        return await self._settle() if self._answers and now >= self._due_at else []

    async def rest(self, receiver: Receiver[Any]) -> list[Outcome[Any]]:
        """Return all answers, when they are due."""
        self._answers += receiver.outcomes()
        if self._answers and self._settling is not None:
            kept = [answer.kept for answer in self._answers if answer.kept is not None]
            patience = self._settling.after(sum(one.size for one in kept))
            with suppress(TimeoutError):
                async with asyncio.timeout(patience.total_seconds()):
                    await self._door.until_gone(kept)
        return await self._settle()

    async def _settle(self) -> list[Outcome[Any]]:
        answers, self._answers = self._answers, []
        kept = [answer.kept for answer in answers if answer.kept is not None]
        if kept:
            await self._run(self._door.settle, kept)
        return answers
