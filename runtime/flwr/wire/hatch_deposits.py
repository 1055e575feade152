"""What an app leaves at the hatch before it says what it is part of (``wire.hatch``: DEPOSIT).

It is hashed and written as it comes, so the app neither hashes it nor holds a copy.
"""

from collections.abc import Callable, Sequence
from contextlib import closing
from typing import Any, Protocol

from flwr.core.errors import InvalidError, TooLargeError, UnavailableError
from flwr.core.ids import ObjectId
from flwr.core.limits import INLINE_OBJECT_BYTES, MAX_DEPOSIT_BYTES, MAX_TREE_OBJECTS
from flwr.wire.bulk import Deposited, Door, named
from flwr.wire.codec.pieces import decode_opening, encode_piece_head, encode_taken
from flwr.wire.hatch import HatchFrame
from flwr.wire.receiver import Assembly, InThread, Outcome


class Guest(Protocol):
    """Who is at the hatch."""

    async def read_next(self) -> tuple[HatchFrame, bytes] | None:
        """Return the next frame, whenever it comes; None when the guest has left."""
        ...

    async def read_lent(self, use: Callable[[memoryview], None]) -> None:
        """Have a thread use each piece that comes by the guest's pipe, until the end."""
        ...

    async def send(self, kind: HatchFrame, payload: bytes = b"") -> None:
        """Send one frame."""
        ...

    async def hand(self, payload: bytes, descriptor: int) -> None:
        """Send a FILE."""
        ...


class _Keeper:
    """Begins what is deposited, until it is too much."""

    def __init__(self, door: Door[Any]) -> None:
        self._door = door
        self.size_bytes = 0
        """Of all that was begun."""

    def begin(self, _name: ObjectId, size: int) -> Deposited:
        """Begin an object."""
        if size <= INLINE_OBJECT_BYTES:
            raise InvalidError(f"a deposit of {size} bytes has no file that could be handed back")
        if self.size_bytes + size > MAX_DEPOSIT_BYTES:
            raise TooLargeError(f"{MAX_DEPOSIT_BYTES} bytes of deposits are allowed")
        self.size_bytes += size
        begun: Deposited = self._door.begin_deposit(size)
        return begun

    def complete(self, arriving: Deposited) -> None:
        """Check a complete object and finish it."""
        self._door.complete(arriving)

    def keep(self, complete: Sequence[Deposited]) -> list[bool]:
        """Nothing is stored yet."""
        return [True] * len(complete)


class Deposits:
    """What one app has deposited and not kept.

    Args:
        guest: the app.
        door: what it may do.
        run: runs operations in threads.
    """

    def __init__(self, guest: Guest, door: Door[Any], run: InThread) -> None:
        self._guest, self._door, self._run = guest, door, run
        self._keeper = _Keeper(door)
        self._here: dict[ObjectId, Deposited] = {}

    async def serve(self, request: bytes) -> None:
        """Take deposits and keep some, until the app leaves.

        Args:
            request: of the first frame, a DEPOSIT.
        """
        try:
            await self._take_in(decode_opening(request))
            while (frame := await self._guest.read_next()) is not None:
                kind, said = frame
                if kind is HatchFrame.DEPOSIT:
                    await self._take_in(decode_opening(said))
                elif kind is HatchFrame.KEEP:
                    await self._keep(decode_opening(said))
                elif kind is HatchFrame.DROP:
                    await self._run(_discard, self._taken_out(decode_opening(said)))
                else:
                    raise InvalidError(f"a frame of kind {kind.name} among deposits")
        finally:
            await self._run(_discard, list(self._here.values()))

    async def _take_in(self, names: Sequence[ObjectId]) -> None:
        if len(names) > MAX_TREE_OBJECTS:
            raise InvalidError(f"{len(names)} objects in one call")
        assembly = Assembly(self._keeper)
        try:
            await self._guest.read_lent(lambda raw: assembly.take(*named(names, raw)))
        finally:
            await self._run(assembly.close)
            outcomes = {one.object_id: one for one in assembly.outcomes()}
            files = [self._note(outcomes[name]) for name in names if name in outcomes]
        if len(files) != len(names) or not all(files):
            raise InvalidError("a deposit is not what it was said to be")
        for index, deposited in enumerate(files):
            assert deposited is not None
            await self._hand_back(index, deposited)
        await self._guest.send(HatchFrame.END)

    def _note(self, outcome: Outcome[Any]) -> Deposited | None:
        """Return the deposit; of equal ones the first."""
        if outcome.kept is None:
            return None
        deposited: Deposited = outcome.kept
        known = self._here.setdefault(deposited.object_id, deposited)
        if known is not deposited:
            deposited.discard()
        return known

    async def _hand_back(self, index: int, deposited: Deposited) -> None:
        opened = await self._run(deposited.open)
        if opened is None or opened.descriptor is None:
            raise UnavailableError("the file of a deposit is gone")
        with closing(opened):
            head = encode_piece_head(index, opened.size, opened.lead, 0)
            await self._guest.hand(bytes.fromhex(deposited.object_id) + head, opened.descriptor)

    async def _keep(self, ids: Sequence[ObjectId]) -> None:
        place = {object_id: index for index, object_id in enumerate(ids)}
        wanted = self._taken_out(ids)
        await self._run(self._door.admit)
        stored = await self._run(self._door.keep, wanted) if wanted else []
        for one, is_stored in zip(wanted, stored, strict=True):
            taken = encode_taken(place[one.object_id], stored=is_stored)
            await self._guest.send(HatchFrame.PIECE, taken)
        await self._guest.send(HatchFrame.END)

    def _taken_out(self, ids: Sequence[ObjectId]) -> list[Deposited]:
        found = [self._here.pop(object_id) for object_id in ids if object_id in self._here]
        self._keeper.size_bytes -= sum(one.size for one in found)
        return found


def _discard(deposits: Sequence[Deposited]) -> None:
    for deposited in deposits:
        deposited.discard()
