"""Objects put together from their pieces, by a thread that works while the next pieces come.

Every hand-over to a thread and back costs as much as half a piece, so a thread goes on for as long
as there are pieces, and does all there is to do with one: begin, write, check, keep.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Final, Generic, ParamSpec, Protocol, TypeVar

from flwr.core.errors import ErrorKind, FlwrError, InvalidError
from flwr.core.ids import ObjectId
from flwr.core.limits import PIECES_AHEAD, STORED_AT_ONCE_BYTES
from flwr.wire.codec.pieces import Piece

P = ParamSpec("P")
T = TypeVar("T")

_WRONG: Final = frozenset({ErrorKind.INVALID, ErrorKind.FAILED_PRECONDITION})


class InThread(Protocol):
    """Runs one short synchronous operation off the event loop."""

    def __call__(
        self, op: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> Coroutine[Any, Any, T]:
        """Return what ``op`` returns."""
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


@dataclass(frozen=True, slots=True)
class Outcome(Generic[A]):
    """What became of one object."""

    object_id: ObjectId
    is_stored: bool
    """False: it was refused."""
    kept: A | None
    """What the keeper got, if it came that far."""


class Assembly(Generic[A]):
    """Puts the pieces of some objects together, and gives what is complete to a keeper.

    Its methods wait for the disk.  ``received`` and ``outcomes`` do not.
    """

    def __init__(self, keeper: Keeper[A]) -> None:
        self._keeper = keeper
        self._open: dict[ObjectId, A] = {}
        self._refused: set[ObjectId] = set()
        self._complete: dict[ObjectId, A] = {}
        self._complete_bytes = 0
        self._outcomes: deque[Outcome[A]] = deque()
        self._turn = threading.Lock()  # who was cancelled may still be at work
        self._is_closed = False

    def received(self, object_id: ObjectId) -> int:
        """Return how many bytes of an incomplete object are here."""
        arriving = self._open.get(object_id)
        return 0 if arriving is None else arriving.received

    def outcomes(self) -> list[Outcome[A]]:
        """Return, once each, what became of objects."""
        return [self._outcomes.popleft() for _ in range(len(self._outcomes))]

    def take(self, object_id: ObjectId, piece: Piece) -> None:
        """Take one piece.

        Raises:
            InvalidError: it does not follow the one before.
            UnavailableError: the disk is full, or the store does not answer.
        """
        with self._turn:
            arriving = None if self._is_closed else self._find(object_id, piece.size)
            if arriving is None:
                return
            if piece.size != arriving.size or piece.offset != arriving.received:
                raise InvalidError(f"a piece of object {object_id} is not the next one")
            arriving.write(piece.data)
            if arriving.received == arriving.size:
                self._finish(object_id, self._open.pop(object_id))

    def flush(self) -> None:
        """Store what is complete.

        Raises:
            UnavailableError: the disk is full, or the store does not answer.
        """
        with self._turn:
            self._keep()

    def close(self) -> None:
        """Keep what is complete, drop the rest."""
        with self._turn:
            self._is_closed = True
            try:
                self._keep()
            finally:
                for arriving in self._open.values():
                    arriving.abandon()
                self._open.clear()

    def _find(self, object_id: ObjectId, size: int) -> A | None:
        arriving = self._open.get(object_id)
        if arriving is not None or object_id in self._refused:
            return arriving
        begun = self._keeper.begin(object_id, size)
        if begun is None:
            self._refused.add(object_id)
            self._outcomes.append(Outcome(object_id, is_stored=False, kept=None))
            return None
        self._open[object_id] = begun
        return begun

    def _finish(self, object_id: ObjectId, arriving: A) -> None:
        try:
            self._keeper.complete(arriving)
        except FlwrError as error:
            if error.kind not in _WRONG:
                raise
            self._outcomes.append(Outcome(object_id, is_stored=False, kept=None))
            return
        self._complete[object_id] = arriving
        self._complete_bytes += arriving.size
        if self._complete_bytes >= STORED_AT_ONCE_BYTES:
            self._keep()

    def _keep(self) -> None:
        complete, self._complete, self._complete_bytes = self._complete, {}, 0
        if complete:
            stored = self._keeper.keep(list(complete.values()))
            for (object_id, arriving), is_stored in zip(complete.items(), stored, strict=True):
                self._outcomes.append(Outcome(object_id, is_stored, arriving))


class Receiver(Generic[A]):
    """An assembly for an event loop: pieces are taken by a thread while the next ones come.

    What goes wrong with a piece is raised by a later call, once; what was to follow it is dropped.

    Args:
        keeper: decides what is wanted, and keeps it.
        run: runs operations in threads.
    """

    def __init__(self, keeper: Keeper[A], run: InThread) -> None:
        self._assembly, self._run = Assembly(keeper), run
        self._loop = asyncio.get_running_loop()
        self._queue: deque[tuple[ObjectId, Piece]] = deque()
        self._working: asyncio.Task[None] | None = None
        self._room: asyncio.Future[None] | None = None  # somebody waits for it
        self._failure: Exception | None = None

    def received(self, object_id: ObjectId) -> int:
        """Return how many bytes of an incomplete object are here; after ``flush``."""
        return self._assembly.received(object_id)

    def outcomes(self) -> list[Outcome[A]]:
        """Return, once each, what became of objects."""
        return self._assembly.outcomes()

    async def take(self, object_id: ObjectId, piece: Piece) -> None:
        """Take one piece, which stays as it is; wait only while many are waiting.

        Raises:
            InvalidError: one does not follow the one before.
            UnavailableError: the disk is full, or the store does not answer.
        """
        self._raise_failure()
        self._queue.append((object_id, piece))
        if self._working is None or self._working.done():
            self._working = asyncio.create_task(self._work(), name="pieces")
        elif len(self._queue) >= PIECES_AHEAD:
            room = self._room = self._loop.create_future()
            if self._queue and not self._working.done():  # still: the thread did not miss it
                await room

    async def flush(self) -> None:
        """Store what is complete.

        Raises:
            InvalidError: a piece did not follow the one before.
            UnavailableError: the disk is full, or the store does not answer.
        """
        try:
            await self._rest()
        finally:
            await self._run(self._assembly.flush)

    async def close(self) -> None:
        """Keep what is complete, drop the rest."""
        try:
            await self._rest()
        finally:
            await self._run(self._assembly.close)

    async def _rest(self) -> None:
        """Wait until all pieces are taken."""
        if self._working is not None:
            await asyncio.wait({self._working})
        self._raise_failure()

    async def _work(self) -> None:
        try:
            while self._queue:
                await self._run(self._take_all)
        except Exception as failure:  # noqa: BLE001 - raised again by the next call
            self._failure = failure
            self._queue.clear()
        finally:
            self._make_room()

    def _take_all(self) -> None:
        """Take pieces for as long as there are some; in a thread."""
        while self._queue:
            object_id, piece = self._queue.popleft()
            if not self._queue and self._room is not None:
                self._loop.call_soon_threadsafe(self._make_room)  # more comes meanwhile
            self._assembly.take(object_id, piece)

    def _make_room(self) -> None:
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _raise_failure(self) -> None:
        failure, self._failure = self._failure, None
        if failure is not None:
            raise failure
