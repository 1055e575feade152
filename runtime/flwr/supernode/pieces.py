"""Large objects between a node and its SuperLink, in pieces: out of the store, and into it.

A stream that breaks is begun again where it ended: with the objects that have not arrived, and
within one that came in part.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import aclosing
from datetime import timedelta
from typing import Final

from flwr.core.errors import InvalidError
from flwr.core.ids import ObjectId, RunId
from flwr.core.limits import MAX_MISMATCHES
from flwr.core.message import ErrorCode
from flwr.shell.in_thread import in_thread
from flwr.store.durability import Durability
from flwr.store.incoming import IncomingObject
from flwr.store.outgoing import OpenObject
from flwr.store.store import Store, Tx
from flwr.supernode.fleet import FleetSession
from flwr.supernode.refusals import IntakeRefusedError
from flwr.wire.bulk import pieces_of
from flwr.wire.codec.pieces import Absence, Wanted
from flwr.wire.receiver import Keeper, Receiver

FIRST_WAIT: Final = timedelta(milliseconds=100)  # its sender is still uploading
LONGEST_WAIT: Final = timedelta(seconds=10)  # wire contract §8.3


class InstructionKeeper:
    """Keeps what arrives in pieces, with the instruction it belongs to.

    Args:
        store: the node's own state.
        prepare: has the instruction known in a transaction.
    """

    def __init__(self, store: Store, prepare: Callable[[Tx], None]) -> None:
        self._store, self._prepare = store, prepare

    def begin(self, object_id: ObjectId, size: int) -> IncomingObject:
        """Begin an object; durable when its instruction is confirmed."""
        return self._store.begin_object(object_id, size, durable=False)

    def complete(self, arriving: IncomingObject) -> None:
        """Check a complete object and finish it."""
        arriving.finish()

    def keep(self, complete: Sequence[IncomingObject]) -> list[bool]:
        """Store complete objects; False for one that is no longer wanted."""
        arrived = [one.arrived for one in complete if one.arrived is not None]
        with self._store.keeping(arrived, Durability.LATER) as tx:
            self._prepare(tx)
            return [tx.objects.take(one) for one in arrived]


class PiecesIn:
    """Objects of one instruction on their way here.

    Args:
        session: the connection to the SuperLink.
        keeper: where they go.
        run_id: of the instruction.
        is_too_late: tells whether the instruction has expired.
    """

    def __init__(
        self,
        session: FleetSession,
        keeper: Keeper[IncomingObject],
        run_id: RunId,
        is_too_late: Callable[[], bool],
    ) -> None:
        self._session, self._run_id, self._is_too_late = session, run_id, is_too_late
        self._receiver = Receiver(keeper, in_thread)
        self._missing: list[ObjectId] = []
        self._mismatches: Counter[ObjectId] = Counter()

    async def fetch(self, ids: Sequence[ObjectId]) -> None:
        """Pull objects until all are kept.

        Raises:
            UnimplementedError: the SuperLink has no streams.
            IntakeRefusedError: one of them cannot be had.
            FlwrError: as the SuperLink's answers.
        """
        self._missing, wait = list(ids), FIRST_WAIT
        try:
            while True:
                before = len(self._missing)
                await self._session.attempt(self._stream)
                if not self._missing:
                    return
                wait = FIRST_WAIT if len(self._missing) < before else min(wait * 2, LONGEST_WAIT)
                await asyncio.sleep(wait.total_seconds())
        finally:
            await self._receiver.close()

    async def _stream(self) -> None:
        """Pull what is missing; what has arrived when the stream breaks is kept."""
        wanted = [
            Wanted(key, self._receiver.received(key), self._mismatches[key] > 0)
            for key in self._missing
        ]
        try:
            async with aclosing(self._session.fleet.pull_pieces(self._run_id, wanted)) as pieces:
                async for piece in pieces:
                    if piece.index >= len(wanted):
                        raise InvalidError("the SuperLink sent an object that was not asked for")
                    object_id = wanted[piece.index].object_id
                    if piece.absence is Absence.NONE:
                        await self._receiver.take(object_id, piece)
                    elif piece.absence is Absence.UNKNOWN or self._is_too_late():
                        raise _gone(object_id)
        finally:
            try:
                await self._receiver.flush()
            finally:
                self._settle()

    def _settle(self) -> None:
        for outcome in self._receiver.outcomes():
            object_id = outcome.object_id
            if outcome.is_stored:
                self._missing.remove(object_id)
                continue
            self._mismatches[object_id] += 1
            if self._mismatches[object_id] == MAX_MISMATCHES:
                why = f"object {object_id} arrived damaged {MAX_MISMATCHES} times"
                raise IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)


class PiecesOut:
    """Objects of one reply on their way to the SuperLink."""

    def __init__(self, session: FleetSession, store: Store, run_id: RunId) -> None:
        self._session, self._store, self._run_id = session, store, run_id
        self._pending: list[ObjectId] = []

    async def push(self, ids: Sequence[ObjectId]) -> None:
        """Send objects; what the SuperLink does not want any more is left out.

        Raises:
            UnimplementedError: the SuperLink has no streams.
            FlwrError: as the SuperLink's answers, or a file of ours is damaged.
        """
        self._pending = list(ids)
        await self._session.attempt(self._stream)

    async def _stream(self) -> None:
        ids = list(self._pending)
        pieces = pieces_of(ids, self._open, in_thread)
        pushed = self._session.fleet.push_pieces(self._run_id, ids, pieces)
        async with aclosing(pushed) as answers:
            async for object_id, _is_stored in answers:
                self._pending.remove(object_id)

    def _open(self, object_id: ObjectId) -> OpenObject | None:
        with self._store.reading() as tx:
            return tx.objects.open(object_id)


def _gone(object_id: ObjectId) -> IntakeRefusedError:
    why = f"object {object_id} of the instruction is no longer on the SuperLink"
    return IntakeRefusedError(ErrorCode.MESSAGE_UNAVAILABLE, why)
